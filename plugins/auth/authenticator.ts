import type { Authenticator, Identity } from '../../core/auth.ts';
import type { ApiTokens } from './api-tokens.ts';
import { tenantForbidden } from './errors.ts';
import type { Logins } from './logins.ts';
import type { AccountDocument } from './models/account.ts';
import type { Recent } from './recent.ts';
import type { Tenants } from './tenants.ts';
import { claimedAudience, looksLikeJwt, type TokenSigner } from './tokens.ts';

export interface AuthenticatorOptions {
  signer: TokenSigner;
  logins: Logins;
  accounts: Recent<AccountDocument | undefined>;
  apiTokens: ApiTokens;
  tenants: Tenants;
}

/** An identity with the tenants that its token names. */
interface AccountIdentity extends Identity {
  readonly tenants?: readonly string[];
}

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { signer, logins, accounts, apiTokens, tenants } = options;
  return {
    async check(value) {
      if (value === undefined || value === '') return { kind: 'none' };
      const claims = signer.verify(value, 'access');
      if (!claims && !looksLikeJwt(value)) {
        const identity = await apiTokens.check(value);
        return identity ? { kind: 'api', identity } : { kind: 'invalid', audience: [], jwt: false };
      }
      if (!claims) return { kind: 'invalid', audience: claimedAudience(value), jwt: true };
      const { accountId, loginId, tokenId, audience } = claims;
      const [account, open] = await Promise.all([accounts.get(accountId), logins.isOpen(loginId, accountId)]);
      if (!account || !open) return { kind: 'invalid', audience, jwt: true };
      const identity: AccountIdentity = {
        principal: {
          kind: 'user',
          accountId,
          tenantId: account.homeTenantId,
          roles: account.role === 'admin' ? ['user', 'admin'] : ['user'],
          tokenId,
          loginId,
        },
        blocked: account.status !== 'active',
        ...(claims.tenants && { tenants: claims.tenants }),
      };
      return { kind: 'jwt', audience, identity };
    },

    async inTenant(identity, tenantId) {
      const { principal, tenants: allowed }: AccountIdentity = identity;
      if (principal.kind !== 'user') throw tenantForbidden();
      await tenants.enter(principal.accountId, tenantId, allowed);
      return { ...principal, tenantId };
    },
  };
}
