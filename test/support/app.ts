import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings, type Settings } from '../../config/settings.ts';
import { type RunningServer, startServer } from '../../scripts/server.ts';
import { type Answer, type CallOptions, callApi } from './api-client.ts';

export interface TestServer {
  readonly url: string;
  readonly server: RunningServer;
  readonly dataDir: string;
  /** Sends one request below `/api/v1`. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
}

/**
 * A whole server in this process: temporary data folder, free port, offline model, the manifest of the project. It is closed and
 * removed with the test.
 *
 * @param settings what no variable of the environment says, for example another `models.yaml`
 */
export async function startTestServer(
  t: { after(dispose: () => Promise<void>): void },
  env: Record<string, string> = {},
  settings: Partial<Settings> = {},
): Promise<TestServer> {
  const dataDir = env.KOAGENT_DATA_DIR ?? mkdtempSync(join(tmpdir(), 'koagent-test-'));
  const server = await startServer({
    ...loadSettings({
      PORT: '0',
      KOAGENT_LOG_LEVEL: 'fatal',
      ...(process.env.MONGODB_URI && { MONGODB_URI: process.env.MONGODB_URI }),
      ...env,
      KOAGENT_DATA_DIR: dataDir,
    }),
    ...settings,
  });
  t.after(async () => {
    await server.close();
    if (env.KOAGENT_DATA_DIR === undefined) rmSync(dataDir, { recursive: true, force: true });
  });
  return {
    url: server.url,
    server,
    dataDir,
    call: (method, path, options) => callApi(server.url, method, path, options),
  };
}
