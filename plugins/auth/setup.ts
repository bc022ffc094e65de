import type { Authenticator } from '../../core/auth.ts';
import type { Database } from '../../core/data/database.ts';
import { type ApiTokens, createApiTokens } from './api-tokens.ts';
import { createAuthenticator } from './authenticator.ts';
import { createLogins, type Logins } from './logins.ts';
import { accountModel } from './models/account.ts';
import { createPasswords } from './passwords.ts';
import { createRecent } from './recent.ts';
import { type AccountServiceParts, createAccountService } from './service.ts';
import { createTenants } from './tenants.ts';
import { createTokenSigner } from './tokens.ts';

/** The options of the plugin; see its schema for what they mean. */
export interface AuthConfig {
  openRegistration: boolean;
  trialDays: number;
  kbQuota: number;
  tenantsPerAccount: number;
  cacheMs: number;
  studio: { access: number; refresh: number };
  research: { access: number; refresh: number };
  lowcode: { access: number };
}

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
