import type { Context } from 'koa';
import type { AuditService } from '../audit.ts';
import type { TokenCheck } from '../auth.ts';
import type { ContractName } from '../contracts/contract.ts';
import type { LocalText } from '../errors.ts';
import type { Principal } from '../principal.ts';
import type { RequestState } from './api.ts';

type Actor = Pick<Principal, 'accountId' | 'tenantId'> & Partial<Pick<Principal, 'kind'>>;

/** What a request turns out to be while it is served. */
export interface Deed {
  readonly contract?: ContractName;
  readonly route: string;
  readonly action: LocalText;
  /** Kept also when nobody is recognised. */
  readonly login: boolean;
  actor?: Actor | undefined;
  readonly objectIds: Set<string>;
  noted: boolean;
}

const CHANGING = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const MAX_IDS = 16;
const MAX_ID_LENGTH = 200;

export const beginDeed = (
  what: { contract?: ContractName; route: string; action: LocalText; login?: boolean },
  token: TokenCheck,
): Deed => ({
  ...what,
  login: what.login ?? false,
  actor: 'identity' in token ? token.identity.principal : undefined,
  objectIds: new Set(),
  noted: false,
});

/** Adds the ids among some values. */
export function addIds(deed: Deed, values: readonly unknown[]): void {
  for (const value of values) {
    const id = typeof value === 'number' ? String(value) : value;
    if (typeof id !== 'string' || id === '' || id.length > MAX_ID_LENGTH || deed.objectIds.size >= MAX_IDS) continue;
    // Made up by the contract for a number that nobody has.
    if (!id.startsWith('unknown:')) deed.objectIds.add(id);
  }
}

/** Hands one entry to the audit log, once; `ctx` has its status by then. */
export function noteDeed(audit: AuditService | undefined, ctx: Context & { state: RequestState }, deed: Deed): void {
  const { actor, contract, route, action, objectIds, login } = deed;
  if (audit === undefined || deed.noted || !CHANGING.has(ctx.method) || (actor === undefined && !login)) return;
  deed.noted = true;
  audit.record({
    at: new Date(),
    ...(actor && { tenantId: actor.tenantId, accountId: actor.accountId, principal: actor.kind ?? 'user' }),
    ...(contract && { contract }),
    method: ctx.method,
    route,
    action,
    objectIds: [...objectIds],
    status: ctx.status,
    ip: ctx.ip,
    traceId: ctx.state.traceId,
  });
}
