import type { ContractName } from './contracts/contract.ts';
import { AppError } from './errors.ts';
import type { Principal } from './principal.ts';
import { defineService } from './service.ts';

/** What a bearer value turned out to be. The core asks; the auth plugin answers. */
export type TokenCheck =
  | { kind: 'none' }
  /** Looks like a token but grants nothing; `audience` (unverified) may choose the form of the 401, never more. */
  | { kind: 'invalid'; audience: ContractName[]; jwt: boolean }
  | { kind: 'jwt'; audience: ContractName[]; identity: Identity }
  | { kind: 'api'; identity: Identity };

/** A verified caller before the tenant is chosen. */
export interface Identity {
  readonly principal: Principal;
  /** A blocked account: authenticated, but every request is refused as forbidden. */
  readonly blocked: boolean;
}

/** The auth gate of the HTTP layer. Without a plugin that offers it, every route that needs a caller answers 401. */
export interface Authenticator {
  /** Never throws for a bad token. `value` is what stands behind `Bearer`. */
  check(value: string | undefined): Promise<TokenCheck>;
  /**
   * The caller in the tenant that the request names.
   *
   * @throws {AppError} TENANT_FORBIDDEN when the account may not use it
   */
  inTenant(identity: Identity, tenantId: string): Promise<Principal>;
}

export const authenticatorService = defineService<Authenticator>('authenticator');

export const accountBlocked = (): AppError =>
  new AppError('forbidden', 'ACCOUNT_BLOCKED', { zh: '账号已被停用', en: 'The account is blocked' });

export const adminRequired = (): AppError =>
  new AppError('forbidden', 'ADMIN_REQUIRED', { zh: '需要管理员权限', en: 'Administrators only' });
