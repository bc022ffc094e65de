import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Answer, type CallOptions, callApi } from '../../support/api-client.ts';

export interface Message {
  id: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read documented bodies and assert on them
  data: any;
}

export interface Stream {
  status: number;
  headers: Headers;
  /** Next message; undefined when the server has ended the response. */
  next(): Promise<Message | undefined>;
  /** All messages up to the end, or up to the first that fits. */
  until(fits?: (message: Message) => boolean): Promise<Message[]>;
  /** Everything received so far, as it came. */
  readonly raw: string;
  close(): void;
}

export interface ReportClient {
  token: string;
  tenant: string;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** As `call`, for a 200; returns `data`. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  ok(method: string, path: string, body?: unknown): Promise<any>;
  progress(
    taskId: string,
    options?: { lastEventId?: number; headers?: Record<string, string>; query?: string },
  ): Promise<Stream>;
  /** A task with a confirmed outline. `units` become chapters. */
  taskWithOutline(units?: (string | undefined)[]): Promise<{ taskId: string; outlineId: string }>;
  /** A delivered and confirmed package. */
  confirmedPackage(taskId: string, unit: string, autoData?: Record<string, unknown>): Promise<string>;
}

const PASSWORD = 'Abc12345!x';
let accounts = 0;

/** Registers an account (in the research form) and logs in; the tenant comes to be the account's by its first use. */
export async function reportClient(url: string, tenant: string): Promise<ReportClient> {
  accounts += 1;
  const email = `u${accounts}.${tenant}@example.com`;
  const registered = await callApi(url, 'POST', '/auth/register', {
    body: { email, password: PASSWORD, name: '张三' },
  });
  assert.equal(registered.status, 201, registered.text);
  return loginClient(url, tenant, email);
}

/** A client of an account that exists, after a restart for example. */
export async function loginClient(url: string, tenant: string, email: string): Promise<ReportClient> {
  const login = await callApi(url, 'POST', '/auth/login', { body: { email, password: PASSWORD } });
  assert.equal(login.status, 200, login.text);
  return clientWith(url, tenant, login.body.data.accessToken);
}

export function clientWith(url: string, tenant: string, token: string): ReportClient {
  const call = (method: string, path: string, options: CallOptions = {}) =>
    callApi(url, method, path, { token, tenant, ...options });
  const ok = async (method: string, path: string, body?: unknown) => {
    const answer = await call(method, path, body === undefined ? {} : { body });
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    assert.equal(answer.body.code, 200);
    assert.equal(answer.body.message, 'success');
    return answer.body.data;
  };
  return {
    token,
    tenant,
    call,
    ok,
    progress: (taskId, options = {}) =>
      openStream(`${url}/api/v1/tasks/${taskId}/progress?tenantId=${tenant}${options.query ?? ''}`, {
        ...(options.query?.includes('token=') ? {} : { authorization: `Bearer ${token}` }),
        ...(options.lastEventId !== undefined && { 'last-event-id': String(options.lastEventId) }),
        ...options.headers,
      }),
    async taskWithOutline(units = ['ku_001', 'ku_002']) {
      const { taskId } = await ok('POST', '/tasks', { taskName: '贷前调查报告' });
      const children = units.map((unit, at) => ({
        nodeId: `node_${at + 1}`,
        chapterNumber: `${at + 1}`,
        title: `第${at + 1}部分`,
        ...(unit && { knowledgeUnitId: unit }),
      }));
      const rootNode = { nodeId: 'root', title: '贷前调查报告', children };
      const { outlineId } = await ok('POST', `/tasks/${taskId}/outline`, { title: '大纲', rootNode });
      await ok('POST', `/outline/${outlineId}/confirm`, { confirmerId: 'user_123', confirmerName: '张三' });
      return { taskId, outlineId };
    },
    async confirmedPackage(taskId, unit, autoData = { 企业名称: 'ABC公司' }) {
      const { packageId } = await ok('POST', `/tasks/${taskId}/data-packages`, { knowledgeUnitId: unit, autoData });
      await ok('POST', `/data-packages/${packageId}/confirm`);
      return packageId;
    },
  };
}

async function openStream(url: string, headers: Record<string, string>): Promise<Stream> {
  const abort = new AbortController();
  const response = await fetch(url, { headers, signal: abort.signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let [raw, read] = ['', 0];
  const next = async (): Promise<Message | undefined> => {
    for (;;) {
      const end = raw.indexOf('\n\n', read);
      if (end >= 0) {
        const block = raw.slice(read, end);
        read = end + 2;
        const id = /^id: (\d+)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (data !== undefined) return { id: Number(id), data: JSON.parse(data) };
        continue;
      }
      const piece = await reader?.read();
      if (!piece || piece.done) return undefined;
      raw += piece.value;
    }
  };
  return {
    status: response.status,
    headers: response.headers,
    next,
    async until(fits = () => false) {
      const messages: Message[] = [];
      for (;;) {
        const message = await next();
        if (!message) return messages;
        messages.push(message);
        if (fits(message)) return messages;
      }
    },
    get raw() {
      return raw;
    },
    close: () => abort.abort(),
  };
}

/** The manifest of the project with other options for the reports plugin. */
export function manifestWith(t: Pick<TestContext, 'after'>, options: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-manifest-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = new URL('../../../config/', import.meta.url).pathname;
  const text = readFileSync(join(config, 'manifest.yaml'), 'utf8')
    .replaceAll('from: ../plugins', `from: ${join(config, '../plugins')}`)
    .replace(/(reports:\n(?: {4}.*\n)*? {4}options: )\{\}/, `$1${options}`);
  const path = join(folder, 'manifest.yaml');
  writeFileSync(path, text);
  return path;
}
