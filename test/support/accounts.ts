import { Value } from 'typebox/value';
import { authenticatorService } from '../../core/auth.ts';
import { databaseService } from '../../core/data/database.ts';
import { createNumbers } from '../../core/data/numbers.ts';
import { createHost, provide } from '../../core/host.ts';
import { createRateLimiter, limitsSchema } from '../../core/http/limits.ts';
import { createHttpServer, type HttpOptions } from '../../core/http/server.ts';
import { createLogger } from '../../core/log.ts';
import type { PluginDefinition } from '../../core/plugin.ts';
import { settingsService } from '../../core/settings.ts';
import authPlugin from '../../plugins/auth/index.ts';
import { type AccountService, accountService } from '../../plugins/auth/public.ts';
import { openTestDatabase } from './database.ts';

interface Owner {
  after(dispose: () => Promise<void>): void;
}

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of many shapes and compare what they find
  body: any;
  text: string;
}

export interface Call {
  token?: string;
  /** Sent as JSON; `URLSearchParams` and `FormData` as what they are, text as it is. */
  body?: unknown;
  headers?: Record<string, string>;
}

export interface AccountServer {
  url: string;
  accounts: AccountService;
  call(method: string, path: string, options?: Call): Promise<Answer>;
}

export const TEST_ADMIN = { email: 'root@example.com', password: 'Root12345' };

/** The auth plugin behind the real HTTP layer and store, with the administrator `TEST_ADMIN`. */
export async function serveAccounts(
  owner: Owner,
  options: { auth?: Record<string, unknown>; limits?: Record<string, unknown> } = {},
): Promise<AccountServer> {
  const log = createLogger('silent');
  const database = await openTestDatabase(owner);
  const jwtSecret = 'a secret of at least thirty-two characters';
  const host = await createHost({
    plugins: {
      enabled: [{ definition: authPlugin as unknown as PluginDefinition, options: options.auth ?? {} }],
      disabled: [],
    },
    provided: [
      provide(databaseService, database),
      provide(settingsService, { jwtSecret, variable: () => undefined, admin: TEST_ADMIN }),
    ],
    log,
    dataDir: '/nonexistent',
  });
  await host.ready();
  const limits = Value.Default(limitsSchema, structuredClone(options.limits ?? {})) as HttpOptions['limits'];
  const http = createHttpServer({
    routeSets: host.routes,
    log,
    version: '1.0.0',
    http: { origins: [], trustProxy: false, limits },
    limiter: createRateLimiter(limits),
    authenticator: host.find(authenticatorService),
    numbers: createNumbers(database),
    notReady: async () => ({}),
  });
  const url = await http.listen('127.0.0.1', 0);
  owner.after(async () => {
    await http.close(1000);
    await host.dispose();
  });
  const accounts = host.find(accountService);
  if (!accounts) throw new Error('the auth plugin offers no accounts');
  return { url, accounts, call: (method, path, call) => send(`${url}/api/v1${path}`, method, call) };
}

async function send(url: string, method: string, { token, body, headers = {} }: Call = {}): Promise<Answer> {
  const asIs = typeof body === 'string' || body instanceof URLSearchParams || body instanceof FormData;
  const response = await fetch(url, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && !asIs && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: asIs ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') && text !== '';
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : undefined, text };
}
