import { authenticatorService } from '../../core/auth.ts';
import { databaseService } from '../../core/data/database.ts';
import { checkOptions } from '../../core/manifest.ts';
import type { Principal } from '../../core/principal.ts';
import { authConfig, createAuth } from '../../plugins/auth/setup.ts';
import type { RunningServer } from '../../scripts/server.ts';
import type { CallOptions } from './api-client.ts';
import type { TestServer } from './app.ts';

const PASSWORD = 'Abc12345';

/** Registers a person and logs in through one API; every later call is theirs. */
export async function signIn({ call }: TestServer, api: 'studio' | 'research', email: string) {
  const body = { email, password: PASSWORD, name: '张三' };
  let token: string;
  if (api === 'studio') {
    await call('POST', '/users/register', { body });
    token = (await call('POST', '/users/login', { body })).body.data.access_token;
  } else {
    await call('POST', '/auth/register', { body });
    token = (await call('POST', '/auth/login', { body })).body.data.accessToken;
  }
  return (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
    call(method, path, { token, ...(body !== undefined && { body }), ...options });
}

/** A new account of the tasks API: its token, and who it is for services. */
export async function apiAccount(
  server: RunningServer,
  name: string,
): Promise<{ token: string; principal: Principal }> {
  const token = await apiToken(server, name);
  const checked = await server.app.host.find(authenticatorService)?.check(token);
  if (checked?.kind !== 'api') throw new Error(`the token of ${name} is none`);
  return { token, principal: checked.identity.principal };
}

/** The token of a new account of the tasks API, as `npm run token -- create` makes it. */
export async function apiToken({ app }: RunningServer, name: string): Promise<string> {
  const database = app.host.find(databaseService);
  if (database === undefined) throw new Error('the server has no database');
  const config = checkOptions(authConfig, {}, (path, why) => new Error(`${path} ${why}`));
  return createAuth({ database, jwtSecret: 'not used for these tokens', config }).apiTokens.create(name);
}
