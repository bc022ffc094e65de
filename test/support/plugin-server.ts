import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { Principal } from '../../core/principal.ts';
import type { RunningServer } from '../../scripts/server.ts';
import type { Answer, CallOptions } from './api-client.ts';
import { startTestServer } from './app.ts';

export interface PluginServer {
  readonly url: string;
  readonly server: RunningServer;
  /** One request below `/api/v1` as a registered user of the lowcode API, unless another token is given. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Runs a node type in its worker lane. */
  runNode(type: string, config?: Record<string, unknown>, input?: unknown): Promise<unknown>;
}

const PLUGINS = join(import.meta.dirname, '..', '..', 'plugins');
const PASSWORD = 'Secret123';

/**
 * A whole server for tests of one plugin: a store of its own in a temporary folder, the offline model, the plugin `auth`, those named in
 * `beside`, and the plugin itself. It is closed and removed with the test.
 *
 * @param folder of the plugin
 */
export async function startPluginServer(
  t: Pick<TestContext, 'after'>,
  folder: URL | string,
  plugin: { name: string; options?: Record<string, unknown>; beside?: readonly string[] },
): Promise<PluginServer> {
  const dir = mkdtempSync(join(tmpdir(), 'koagent-plugin-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const manifest = join(dir, 'manifest.yaml');
  const own = folder instanceof URL ? fileURLToPath(folder) : resolve(folder);
  const named = ['auth', ...(plugin.beside ?? [])].map((name) => [name, { from: join(PLUGINS, name) }]);
  const plugins = Object.fromEntries([...named, [plugin.name, { from: own, options: plugin.options ?? {} }]]);
  writeFileSync(manifest, stringify({ plugins }));

  const { url, server, call } = await startTestServer(t, { KOAGENT_MANIFEST: manifest });
  const username = 'plugin-tester';
  await call('POST', '/auth/register', { body: { username, email: `${username}@example.com`, password: PASSWORD } });
  const { body } = await call('POST', '/auth/login', { body: new URLSearchParams({ username, password: PASSWORD }) });
  const token: string = body.access_token;
  const principal: Principal = { kind: 'user', accountId: 'account-1', tenantId: 'tenant-1', roles: ['user'] };
  let last = 0;
  return {
    url,
    server,
    call: (method, path, options) => call(method, path, { token, ...options }),
    runNode(type, config = {}, input = {}) {
      last += 1;
      const run = { id: 'run-1', tenantId: principal.tenantId };
      return server.pool.run({ type, config, input, run, principal, idempotencyKey: `run-1/${last}`, attempt: 1 });
    },
  };
}
