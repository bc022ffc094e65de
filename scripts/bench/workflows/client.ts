import { Agent, request } from 'node:http';

export type Json = Record<string, unknown>;

/** An HTTP client that keeps its connections; it costs as little as one in the same machine can. */
export interface Client {
  /** Sent with every request from now on. */
  token: string;
  call(method: string, path: string, body?: Json | URLSearchParams): Promise<Json>;
  close(): void;
}

/** @param base what every path begins with */
export function createClient(base: string): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 128 });
  const client: Client = {
    token: '',
    close: () => agent.destroy(),
    call: (method, path, body) =>
      new Promise((resolve, reject) => {
        const form = body instanceof URLSearchParams;
        const content = body === undefined ? undefined : form ? body.toString() : JSON.stringify(body);
        const headers = {
          ...(client.token !== '' && { authorization: `Bearer ${client.token}` }),
          ...(content !== undefined && {
            'content-type': form ? 'application/x-www-form-urlencoded' : 'application/json',
            'content-length': Buffer.byteLength(content),
          }),
        };
        const sent = request(base + path, { method, agent, headers }, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            text += chunk;
          });
          response.on('end', () => {
            if ((response.statusCode ?? 500) < 300) resolve(JSON.parse(text) as Json);
            else reject(new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 200)}`));
          });
        });
        sent.on('error', reject);
        sent.end(content);
      }),
  };
  return client;
}

/** So many at a time, for so long; the time of each in milliseconds. */
export async function repeat(ms: number, concurrency: number, work: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + ms;
  const worker = async () => {
    while (performance.now() < end) {
      const begin = performance.now();
      await work();
      times.push(performance.now() - begin);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return times;
}
