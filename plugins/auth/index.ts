import { authenticatorService } from '../../core/auth.ts';
import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { settingsService } from '../../core/settings.ts';
import { accountService } from './public.ts';
import { lowcodeRoutes } from './routes/lowcode.ts';
import { researchRoutes } from './routes/research.ts';
import { studioRoutes } from './routes/studio.ts';
import { authConfig, createAuth } from './setup.ts';

export default definePlugin({
  name: 'auth',
  config: authConfig,
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
