import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import type { Answer } from './api-client.ts';
import { startTestServer, type TestServer } from './app.ts';
import { type FakeOpenAI, type Reply, type SeenRequest, startFakeOpenAI } from './fake-openai.ts';
import { apiToken } from './people.ts';

interface Owner {
  after(dispose: () => Promise<void>): void;
}

const CONFIG = join(import.meta.dirname, '..', '..', 'config');

/** The manifest of the project with other options for some plugins, and other sections, as a file. */
export function writeManifest(owner: Owner, options: Record<string, object>, sections: object = {}): string {
  const manifest = parse(readFileSync(join(CONFIG, 'manifest.yaml'), 'utf8'));
  for (const [name, plugin] of Object.entries<{ from: string; options: object }>(manifest.plugins)) {
    plugin.from = resolve(CONFIG, plugin.from);
    plugin.options = { ...plugin.options, ...options[name] };
  }
  const folder = mkdtempSync(join(tmpdir(), 'koagent-manifest-'));
  owner.after(async () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'manifest.yaml');
  writeFileSync(path, stringify({ ...manifest, ...sections }));
  return path;
}

/** Environment in which `gpt-4o-mini` (the default, reads pictures) and `deepseek-v3` (thinks) answer from a local server. */
export const modelEnv = (url: string): Record<string, string> => ({
  OPENAI_API_KEY: 'sk-test-0123456789',
  OPENAI_BASE_URL: url,
  DEEPSEEK_API_KEY: 'sk-test-0123456789',
  DEEPSEEK_BASE_URL: url,
  DEFAULT_MODEL: 'gpt-4o-mini',
});

export const TITLE = '模型起的标题';

/** Requests for titles come beside those for answers. */
export const wantsTitle = ({ body }: SeenRequest): boolean =>
  String(body.messages[0]?.content).startsWith('Give the conversation');

export interface ModelScript {
  readonly openai: FakeOpenAI;
  /** Requests for answers so far. */
  readonly asked: SeenRequest[];
  /** One reply for each request for an answer, in order; then `ok`. */
  reply(...replies: Reply[]): void;
}

/** A local model server whose replies go to requests for answers alone. */
export async function startModel(owner: Owner): Promise<ModelScript> {
  const openai = await startFakeOpenAI();
  owner.after(() => openai.close());
  const queue: Reply[] = [];
  const asked: SeenRequest[] = [];
  openai.always((request) => {
    if (wantsTitle(request)) return { text: `"${TITLE}"` };
    asked.push(request);
    const reply = queue.shift() ?? { text: 'ok' };
    return typeof reply === 'function' ? reply(request) : reply;
  });
  return { openai, asked, reply: (...replies) => void queue.push(...replies) };
}

export interface TaskEvent {
  idx: number;
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into events of documented shapes
  data: any;
  ts: number;
}

export interface FinishedTask {
  status: string;
  error: string | null;
  events: TaskEvent[];
  // biome-ignore lint/suspicious/noExplicitAny: the last answer of the poll as it came
  data: any;
}

/** A client of the tasks API, as the document's examples have it. */
export interface TaskClient {
  readonly token: string;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Sends a message, which must be taken. */
  send(message: string, more?: Record<string, unknown>): Promise<{ task_id: string; conversation_id: string }>;
  /** Polls until the status is another than `running`, and checks that no number is missing or twice. */
  finished(taskId: string, options?: { from?: number; until?: (event: TaskEvent) => boolean }): Promise<FinishedTask>;
  /** `send` and `finished`. */
  ask(message: string, more?: Record<string, unknown>): Promise<FinishedTask & { conversationId: string }>;
}

export function taskClient(call: TestServer['call'], token: string): TaskClient {
  const client: TaskClient = {
    token,
    call: (method, path, body, headers) =>
      call(method, path, { token, ...(body !== undefined && { body }), ...(headers && { headers }) }),

    async send(message, more = {}) {
      const { status, body } = await client.call('POST', '/messages', { message, ...more });
      if (status !== 202) throw new Error(`POST /messages: ${status} ${JSON.stringify(body)}`);
      return body;
    },

    async finished(taskId, { from = 0, until } = {}) {
      const events: TaskEvent[] = [];
      for (let offset = from; ; await delay(20)) {
        const { status, body } = await client.call('GET', `/tasks/${taskId}?from=${offset}`);
        if (status !== 200) throw new Error(`GET /tasks: ${status} ${JSON.stringify(body)}`);
        const { data } = body;
        for (const event of data.events as TaskEvent[]) {
          if (event.idx !== offset) throw new Error(`event ${event.idx} where ${offset} was due`);
          offset += 1;
          events.push(event);
        }
        if (data.next_offset !== offset) throw new Error(`next_offset ${data.next_offset}, not ${offset}`);
        const ended = data.status !== 'running' && data.status !== 'cancel_requested';
        if (ended || (until && events.some(until))) return { status: data.status, error: data.error, events, data };
      }
    },

    async ask(message, more) {
      const { task_id, conversation_id } = await client.send(message, more);
      return { ...(await client.finished(task_id)), conversationId: conversation_id };
    },
  };
  return client;
}

export interface TaskServer {
  readonly server: TestServer;
  readonly model: ModelScript;
  /** A client of an API account of its own. */
  client(name: string): Promise<TaskClient>;
}

/** A whole server whose models answer from a script; a call of a model that failed is repeated at once. */
export async function startTaskServer(
  owner: Owner,
  options: Record<string, object> = {},
  sections: object = {},
): Promise<TaskServer> {
  const model = await startModel(owner);
  const server = await startTestServer(owner as Parameters<typeof startTestServer>[0], {
    ...modelEnv(model.openai.url),
    KOAGENT_MANIFEST: writeManifest(
      owner,
      { ...options, agents: { modelRetrySeconds: 0.01, ...options.agents } },
      sections,
    ),
  });
  return {
    server,
    model,
    client: async (name) => taskClient(server.call, await apiToken(server.server, name)),
  };
}
