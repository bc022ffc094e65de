import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Answer, CallOptions } from './api-client.ts';
import { startTestServer, type TestServer } from './app.ts';
import { type Reply, type SeenRequest, startFakeOpenAI } from './fake-openai.ts';
import { modelEnv, writeManifest } from './task-server.ts';

interface Owner {
  after(dispose: () => Promise<void>): void;
}

/** A person who is logged in. */
export interface Person {
  readonly token: string;
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Answer>;
}

export interface ConversationServer {
  readonly server: TestServer;
  readonly model: {
    /** Requests so far. */
    readonly asked: SeenRequest[];
    /** One reply for each request, in order; then `ok`. */
    reply(...replies: Reply[]): void;
    /** Forgets replies that nobody has asked for. */
    clear(): void;
  };
  studio(email: string): Promise<Person>;
  research(email: string): Promise<Person>;
}

const PASSWORD = 'Abc12345';
const CONFIG = join(import.meta.dirname, '..', '..', 'config');

/** The models of the project, which give up after a second. */
function writeHastyModels(owner: Owner): string {
  const models = parse(readFileSync(join(CONFIG, 'models.yaml'), 'utf8'));
  models.defaults.timeouts = { firstTokenMs: 1000, idleMs: 1000, totalMs: 30_000 };
  const folder = mkdtempSync(join(tmpdir(), 'koagent-models-'));
  owner.after(async () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'models.yaml');
  writeFileSync(path, stringify(models));
  return path;
}

/** A whole server whose OpenAI and DeepSeek models answer from a script; a call that failed is repeated at once. */
export async function startConversationServer(owner: Owner): Promise<ConversationServer> {
  const openai = await startFakeOpenAI();
  owner.after(() => openai.close());
  const queue: Reply[] = [];
  const asked: SeenRequest[] = [];
  openai.always((request) => {
    asked.push(request);
    const reply = queue.shift() ?? { text: 'ok' };
    return typeof reply === 'function' ? reply(request) : reply;
  });
  const limits = { user: 100_000, admin: 100_000, anonymous: 100_000, login: 1000 };
  const server = await startTestServer(
    owner as Parameters<typeof startTestServer>[0],
    {
      ...modelEnv(openai.url),
      KOAGENT_MANIFEST: writeManifest(
        owner,
        { agents: { modelRetrySeconds: 0.01 } },
        { http: { limits: { research: limits } } },
      ),
    },
    { modelsPath: writeHastyModels(owner) },
  );
  const person = (token: string): Person => ({
    token,
    call: (method, path, body, options) => server.call(method, path, { token, body, ...options }),
  });
  return {
    server,
    model: {
      asked,
      reply: (...replies) => void queue.push(...replies),
      clear: () => void queue.splice(0),
    },
    async studio(email) {
      const body = { email, password: PASSWORD };
      await server.call('POST', '/users/register', { body });
      return person((await server.call('POST', '/users/login', { body })).body.data.access_token);
    },
    async research(email) {
      const body = { email, password: PASSWORD, name: '张三' };
      await server.call('POST', '/auth/register', { body });
      return person((await server.call('POST', '/auth/login', { body })).body.data.accessToken);
    },
  };
}
