import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { loadSettings } from '../../config/settings.ts';
import { type RunningServer, startServer } from '../../scripts/server.ts';

export interface Answer {
  status: number;
  headers: Headers;
  /** Parsed when the answer is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read bodies of documented shapes and assert on them
  body: any;
  text: string;
}

export interface CallOptions {
  token?: string;
  tenant?: string;
  /** A plain value travels as JSON; text, bytes and forms as they are. */
  body?: unknown;
  headers?: Record<string, string>;
}

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
 */
export async function startTestServer(
  t: Pick<TestContext, 'after'>,
  env: Record<string, string> = {},
): Promise<TestServer> {
  const dataDir = env.KOAGENT_DATA_DIR ?? mkdtempSync(join(tmpdir(), 'koagent-test-'));
  const server = await startServer(
    loadSettings({
      PORT: '0',
      KOAGENT_LOG_LEVEL: 'fatal',
      ...(process.env.MONGODB_URI && { MONGODB_URI: process.env.MONGODB_URI }),
      ...env,
      KOAGENT_DATA_DIR: dataDir,
    }),
  );
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

/** Sends one request below `/api/v1` of a server. */
export async function callApi(url: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { token, tenant, body, headers = {} } = options;
  const raw =
    body instanceof FormData ||
    body instanceof URLSearchParams ||
    body instanceof Uint8Array ||
    typeof body === 'string';
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(tenant !== undefined && { 'x-tenant-id': tenant }),
      ...(body !== undefined && !raw && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: raw ? (body as BodyInit) : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : undefined, text };
}
