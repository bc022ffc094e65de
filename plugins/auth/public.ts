import type { ContractName } from '../../core/contracts/contract.ts';
import type { Page } from '../../core/http/route.ts';
import type { Principal, Role } from '../../core/principal.ts';
import { defineService } from '../../core/service.ts';

export const ACCOUNT_STATUS = ['active', 'inactive', 'suspended'] as const;
export type AccountStatus = (typeof ACCOUNT_STATUS)[number];

/** One person's account; the same in every API that logs people in. */
export interface Account {
  id: string;
  email: string;
  username?: string;
  nickname?: string;
  name?: string;
  /** Address of a picture. */
  avatar?: string;
  /** `name`, else `nickname`, else `username`, else the part of the email before the `@`. */
  displayName: string;
  role: Role;
  status: AccountStatus;
  /** The tenant of everything that the account makes outside an explicit tenant. */
  homeTenantId: string;
  trialEndsAt: Date;
  lastLoginAt?: Date;
  createdAt: Date;
}

/** An account as its owner sees it. */
export interface Profile extends Account {
  isTrial: boolean;
  /** Knowledge bases that the account may have, and has. */
  kbQuota: number;
  kbUsed: number;
}

export interface Registration {
  email: string;
  password: string;
  username?: string;
  nickname?: string;
  name?: string;
}

/** `strong`: at least 8 characters with a letter and a digit. `mixed`: 6, letter and digit. `short`: 6. All: at most 128. */
export type PasswordRule = 'strong' | 'mixed' | 'short';

/** The APIs with a login of their own. */
export type LoginApi = Extract<ContractName, 'studio' | 'research' | 'lowcode'>;

/** Tokens of a login. Lifetimes in seconds. */
export interface Tokens {
  accessToken: string;
  expiresIn: number;
  /** Absent where the API has no refresh, or does not change the token on refresh. */
  refreshToken?: string;
}

export interface AccountStatistics {
  total: number;
  active: number;
  /** Since 00:00 UTC. */
  newToday: number;
  /** In the last 7 x 24 hours. */
  new7Days: number;
}

/** How many objects of a kind each of these accounts has; accounts that are not in the map have none. */
export type UsageCounter = (accountIds: readonly string[]) => Promise<ReadonlyMap<string, number>>;
export type UsageName = 'knowledgeBases' | 'conversations';

/** Accounts, logins and tenant memberships. */
export interface AccountService {
  /**
   * Makes an account with the role `user`.
   *
   * @throws {AppError} EMAIL_INVALID, USERNAME_INVALID, WEAK_PASSWORD (invalid); EMAIL_TAKEN, USERNAME_TAKEN (conflict);
   *   REGISTRATION_CLOSED (forbidden)
   */
  register(registration: Registration, rule: PasswordRule): Promise<Account>;
  /**
   * @param login email address, or user name where the API logs in by it
   * @throws {AppError} LOGIN_FAILED (unauthenticated; the same for an unknown account and a wrong password), ACCOUNT_BLOCKED (forbidden)
   */
  login(api: LoginApi, login: string, password: string): Promise<Tokens & { account: Account }>;
  /**
   * @throws {AppError} REFRESH_INVALID (unauthenticated), ACCOUNT_NOT_FOUND (the account is gone), ACCOUNT_BLOCKED (forbidden)
   */
  refresh(api: LoginApi, refreshToken: string): Promise<Tokens>;
  /** Ends the caller's login: its access and refresh tokens are refused from now on. */
  logout(principal: Principal): Promise<void>;
  profile(principal: Principal): Promise<Profile>;
  /** @throws {AppError} PROFILE_EMPTY, AVATAR_INVALID (invalid) */
  updateProfile(principal: Principal, changes: { name?: string; avatar?: string | null }): Promise<Account>;
  /**
   * Changes the password, ends every other login of the account and the refresh token of this one.
   *
   * @throws {AppError} PASSWORD_WRONG, PASSWORD_UNCHANGED, WEAK_PASSWORD (invalid, with the field)
   */
  changePassword(principal: Principal, oldPassword: string, newPassword: string): Promise<void>;

  /** Accounts for administrators; `keyword` is looked for in email and names. */
  list(
    principal: Principal,
    query: {
      status?: AccountStatus;
      keyword?: string;
      offset: number;
      limit: number;
      sortBy?: 'createdAt' | 'lastLoginAt' | 'email';
      sortOrder?: 'asc' | 'desc';
    },
  ): Promise<Page<Account>>;
  /**
   * Blocks or unblocks an account at once. Administrators only.
   *
   * @throws {AppError} ADMIN_REQUIRED (forbidden), ACCOUNT_NOT_FOUND, OWN_ACCOUNT (conflict)
   */
  setStatus(principal: Principal, accountId: string, status: AccountStatus): Promise<Account>;
  /** Administrators only. */
  statistics(principal: Principal): Promise<AccountStatistics>;

  /** Members may use a tenant beside its owner. The owner only. */
  addTenantMember(principal: Principal, tenantId: string, accountId: string): Promise<void>;
  removeTenantMember(principal: Principal, tenantId: string, accountId: string): Promise<void>;

  /** A plugin that owns such objects says how many each account has; returns its disposer. */
  countUsage(name: UsageName, counter: UsageCounter): () => void;
  /** 0 for every account while no plugin counts. */
  usage(name: UsageName, accountIds: readonly string[]): Promise<ReadonlyMap<string, number>>;
}

export const accountService = defineService<AccountService>('accounts');
