import type { AuditEntry } from '../../core/audit.ts';
import type { Page } from '../../core/http/route.ts';
import type { Principal } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';
import type { Account, AccountService, AccountStatistics, AccountStatus } from '../auth/public.ts';
import type { ConversationStatistics } from '../conversations/public.ts';
import type { KnowledgeStatistics } from '../knowledge/public.ts';

export interface AuditRecord extends AuditEntry {
  readonly id: string;
}

export interface AuditFilter {
  accountId?: string;
  /** As services know it or as an API shows it. */
  objectId?: string;
  /** In what the route does, in either language. */
  action?: string;
  /** Template of a path: `/api/v1/workflows/:id`. */
  route?: string;
  from?: Date;
  to?: Date;
}

/** Reads the audit log. Nothing changes or removes an entry but time, see the option `auditDays`. */
export interface AuditLogService {
  /** Newest first. Administrators only. @throws {AppError} ADMIN_REQUIRED (forbidden) */
  list(principal: Principal, filter: AuditFilter, page: { offset: number; limit: number }): Promise<Page<AuditRecord>>;
}

/** An account as administrators see it. */
export interface ManagedAccount extends Account {
  /** Knowledge bases. */
  kbUsed: number;
  /** With agents, and general chats. */
  conversationCount: number;
}

/** Figures of the whole installation; zeros for what no enabled plugin knows of. */
export interface Statistics {
  accounts: AccountStatistics;
  conversations: ConversationStatistics & {
    /** Conversations of an account on average, one decimal. */
    perAccount: number;
  };
  knowledge: KnowledgeStatistics;
}

/** Accounts and figures for administrators. @throws {AppError} ADMIN_REQUIRED (forbidden) */
export interface AdminService {
  accounts(principal: Principal, query: Parameters<AccountService['list']>[1]): Promise<Page<ManagedAccount>>;
  /** @throws {AppError} ACCOUNT_NOT_FOUND, OWN_ACCOUNT (conflict) */
  setStatus(principal: Principal, accountId: string, status: AccountStatus): Promise<void>;
  statistics(principal: Principal): Promise<Statistics>;
}

export const adminService = defineService<AdminService>('admin');
export const auditLogService = defineService<AuditLogService>('audit-log');
