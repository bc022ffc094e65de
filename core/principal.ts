/** Who asks. The first argument of every service method; services take the tenant scope from it. */
export interface Principal {
  /** `user`: an account behind a JWT. `api`: an API account behind an opaque token. `system`: the server itself. */
  readonly kind: 'user' | 'api' | 'system';
  /** Internal id of the account; objects that belong to a person carry it as `ownerId`. */
  readonly accountId: string;
  /** The tenant whose data this request may see: the account's own one, or the one that `X-Tenant-Id` names. */
  readonly tenantId: string;
  readonly roles: readonly Role[];
  /** Ends with the login: logging out revokes this token and those of the same login. */
  readonly tokenId?: string;
  readonly loginId?: string;
}

export type Role = 'user' | 'admin';

/** The server acting for itself in one tenant, for example when it recovers runs. */
export const systemPrincipal = (tenantId: string): Principal => ({
  kind: 'system',
  accountId: 'system',
  tenantId,
  roles: [],
});
