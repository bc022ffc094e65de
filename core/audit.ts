import type { ContractName } from './contracts/contract.ts';
import type { LocalText } from './errors.ts';
import type { Principal } from './principal.ts';
import { defineService } from './service.ts';

/** One thing that somebody did or tried: who, what, to which objects, when, from where, and how it ended. Never a body or a secret. */
export interface AuditEntry {
  readonly at: Date;
  /** Missing where nobody was recognised, for example a login that failed. */
  readonly tenantId?: string;
  readonly accountId?: string;
  readonly principal?: Principal['kind'];
  /** The API that was spoken; missing outside `/api/v1`. */
  readonly contract?: ContractName;
  readonly method: string;
  /** Template of the path: `/api/v1/workflows/:id`. */
  readonly route: string;
  /** What the route does, in words. */
  readonly action: LocalText;
  /** Ids in the path and in the answer, as services know them and, where it differs, as the API shows them. */
  readonly objectIds: readonly string[];
  /** HTTP status of the answer. */
  readonly status: number;
  readonly ip: string;
  readonly traceId: string;
}

/** Keeps what changing requests of known callers and logins did. A plugin offers it; without one nothing is kept. */
export interface AuditService {
  /** Returns at once; the entry is stored soon after, and at the latest when the server shuts down. */
  record(entry: AuditEntry): void;
}

export const auditService = defineService<AuditService>('audit');
