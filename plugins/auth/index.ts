import { authenticatorService } from '../../core/auth.ts';
import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { settingsService } from '../../core/settings.ts';
import { accountService } from './public.ts';
import { lowcodeRoutes } from './routes/lowcode.ts';
import { researchRoutes } from './routes/research.ts';
import { studioRoutes } from './routes/studio.ts';
import { createAuth } from './setup.ts';

const seconds = (value: number, description: string) =>
  Type.Integer({ minimum: 10, maximum: 31_536_000, default: value, description: `${description}, seconds` });

export default definePlugin({
  name: 'auth',
  config: Type.Object({
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
  }),
  requires: { database: databaseService, settings: settingsService },
  provides: { accounts: accountService, authenticator: authenticatorService },

  setup({ config, services: { database, settings }, log }) {
    const { accounts, authenticator } = createAuth({ database, jwtSecret: settings.jwtSecret, config });
    return {
      services: { accounts, authenticator },
      routes: [studioRoutes(accounts), researchRoutes(accounts), lowcodeRoutes(accounts)],
      async ready() {
        await database.ready();
        if (!settings.admin) return;
        const outcome = await accounts.ensureAdmin(settings.admin);
        if (outcome !== 'kept') log.info({ email: settings.admin.email, outcome }, 'administrator set up');
      },
    };
  },
});
