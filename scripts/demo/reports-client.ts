import { randomUUID } from 'node:crypto';

/** A small client of the reports API: an account of its own, one tenant. */
export class ReportsClient {
  readonly #base: string;
  /** What every request carries: token and tenant. */
  readonly headers: Record<string, string>;

  constructor(base: string, token: string, tenant: string) {
    this.#base = base;
    this.headers = { authorization: `Bearer ${token}`, 'x-tenant-id': tenant };
  }

  /** Registers an account at the server, logs in, and uses a tenant that belongs to it. */
  static async register(url: string, tenant: string): Promise<ReportsClient> {
    const base = `${url.replace(/\/$/, '')}/api/v1`;
    const account = { email: `${tenant}-${randomUUID().slice(0, 8)}@example.com`, password: `Demo-${randomUUID()}1` };
    const send = async (path: string) => {
      const response = await fetch(base + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(account),
      });
      return dataOf(path, response);
    };
    await send('/users/register');
    const { access_token } = await send('/users/login');
    return new ReportsClient(base, String(access_token), tenant);
  }

  /** Posts JSON and returns the answer's data. */
  async post(path: string, body: unknown): Promise<Record<string, unknown>> {
    const response = await fetch(this.#base + path, {
      method: 'POST',
      headers: { ...this.headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return dataOf(path, response);
  }

  async get(path: string): Promise<Record<string, unknown>> {
    return dataOf(path, await fetch(this.#base + path, { headers: this.headers }));
  }

  /** The body of the task's progress stream. */
  async progress(taskId: string): Promise<ReadableStream<Uint8Array>> {
    const path = `/tasks/${taskId}/progress`;
    const response = await fetch(this.#base + path, { headers: this.headers });
    if (!response.ok || response.body === null)
      throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return response.body;
  }

  /** The report as a file. */
  async export(reportId: string, format?: string): Promise<Uint8Array> {
    const path = `/reports/${reportId}/export${format === undefined ? '' : `?format=${format}`}`;
    const response = await fetch(this.#base + path, { method: 'POST', headers: this.headers });
    if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
    return new Uint8Array(await response.arrayBuffer());
  }
}

async function dataOf(path: string, response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return (JSON.parse(text) as { data: Record<string, unknown> }).data;
}
