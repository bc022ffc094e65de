import type { Authenticator } from '../../core/auth.ts';
import type { Database } from '../../core/data/database.ts';
import { type Static, Type } from '../../core/schema.ts';
import { type ApiTokens, createApiTokens } from './api-tokens.ts';
import { createAuthenticator } from './authenticator.ts';
import { createLogins, type Logins } from './logins.ts';
import { accountModel } from './models/account.ts';
import { createPasswords } from './passwords.ts';
import { createRecent } from './recent.ts';
import { type AccountServiceParts, createAccountService } from './service.ts';
import { createTenants } from './tenants.ts';
import { createTokenSigner } from './tokens.ts';

const seconds = (value: number, description: string) =>
  Type.Integer({ minimum: 10, maximum: 31_536_000, default: value, description: `${description}, seconds` });

/** The options of the plugin in the manifest. */
export const authConfig = Type.Object({
  openRegistration: Type.Boolean({ default: true, description: 'anybody may register' }),
  trialDays: Type.Integer({ minimum: 0, default: 30, description: 'days after registration that count as trial' }),
  kbQuota: Type.Integer({ minimum: 0, default: 3, description: 'knowledge bases of one account' }),
  tenantsPerAccount: Type.Integer({
    minimum: 0,
    default: 100,
    description: 'tenants that one account may come to own by using them first',
  }),
  cacheMs: Type.Integer({
    minimum: 0,
    maximum: 60_000,
    default: 5000,
    description: 'how long another process may still accept what this one revoked or blocked, milliseconds',
  }),
  studio: Type.Object(
    { access: seconds(1800, 'access token'), refresh: seconds(604_800, 'refresh token') },
    { default: {}, description: 'lifetimes of tokens of the studio login' },
  ),
  research: Type.Object(
    { access: seconds(604_800, 'access token'), refresh: seconds(2_592_000, 'refresh token') },
    { default: {}, description: 'lifetimes of tokens of the research login' },
  ),
  lowcode: Type.Object(
    { access: seconds(86_400, 'access token') },
    { default: {}, description: 'lifetime of tokens of the low-code login' },
  ),
});
export type AuthConfig = Static<typeof authConfig>;

export interface Auth {
  accounts: AccountServiceParts;
  authenticator: Authenticator;
  apiTokens: ApiTokens;
  logins: Logins;
}

/** Puts the parts of the plugin together; the plugin, the commands and the tests use it. */
export function createAuth(options: {
  database: Database;
  jwtSecret: string;
  config: AuthConfig;
  /** Milliseconds since 1970. */
  now?: () => number;
}): Auth {
  const { database, jwtSecret, config, now = Date.now } = options;
  const { cacheMs, tenantsPerAccount, trialDays, kbQuota, openRegistration } = config;
  const accounts = accountModel(database);
  const recent = createRecent({ ttlMs: cacheMs, size: 20_000, load: (id) => accounts.get(id), now });
  const signer = createTokenSigner(jwtSecret, now);
  const tenants = createTenants({ database, perAccount: tenantsPerAccount, cacheMs });
  const apiTokens = createApiTokens({ database, registerHome: tenants.registerHome, cacheMs, now });
  const logins = createLogins({
    database,
    signer,
    lifetimes: { studio: { ...config.studio, rotate: true }, research: config.research, lowcode: config.lowcode },
    cacheMs,
    now,
  });
  return {
    accounts: createAccountService({
      accounts,
      recent,
      passwords: createPasswords(),
      logins,
      tenants,
      trialDays,
      kbQuota,
      openRegistration,
      now,
    }),
    authenticator: createAuthenticator({ signer, logins, accounts: recent, apiTokens, tenants }),
    apiTokens,
    logins,
  };
}
