import { Value } from 'typebox/value';
import { databaseService } from '../../core/data/database.ts';
import type { Principal } from '../../core/principal.ts';
import { type AuthConfig, authConfig, createAuth } from '../../plugins/auth/setup.ts';
import type { RunningServer } from '../../scripts/server.ts';

export interface ApiAccount {
  token: string;
  principal: Principal;
}

/** An account of the tasks API on a running server, as `npm run token -- create` makes it. */
export async function createApiAccount(server: RunningServer, name: string): Promise<ApiAccount> {
  const database = server.app.host.find(databaseService);
  if (!database) throw new Error('the server has no database');
  const config = Value.Default(authConfig, {}) as AuthConfig;
  const auth = createAuth({ database, jwtSecret: 'only tokens of API accounts are made here', config });
  const token = await auth.apiTokens.create(name);
  const checked = await auth.authenticator.check(token);
  if (checked.kind !== 'api') throw new Error(`the token of ${name} is none`);
  return { token, principal: checked.identity.principal };
}
