import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { parseModelsConfig } from '../../../../config/models.ts';
import { createOutbound, outboundService } from '../../../../core/outbound/outbound.ts';
import { provide } from '../../../../core/testing.ts';
import { createModelGateway, modelService } from '../../../../runtime/models/index.ts';

/** A models file over a fake provider. */
export const modelsConfig = (baseUrl: string) =>
  parseModelsConfig(
    `
default: main
offlineFallback: false
defaults:
  contextWindow: 32768
  maxOutputTokens: 4096
  timeouts: { firstTokenMs: 20000, idleMs: 20000, totalMs: 30000 }
  retry: { maxAttempts: 3, baseDelayMs: 10, maxDelayMs: 40, jitter: 0 }
providers:
  fake: { kind: openai, baseUrl: ${baseUrl}, apiKeyEnv: KEY, jsonMode: schema }
  offline: { kind: offline }
models:
  main: { name: Main, provider: fake, model: main-model, supportsThinking: true, returnThinking: true }
  second: { name: Second, provider: fake, model: second-model }
  offline: { name: Offline, provider: offline, model: offline }
`,
    { KEY: 'sk-test-0123456789abcdef' },
  );

export const models = (baseUrl: string) => provide(modelService, createModelGateway(modelsConfig(baseUrl)));

export const outboundOptions = {
  allow: ['127.0.0.0/8', '::1'],
  maxResponseBytes: 1024 * 1024,
  connectMs: 2000,
  firstByteMs: 3000,
  totalMs: 5000,
  maxRedirects: 5,
};

/** Guarded requests that may reach this machine, unless `allow` says otherwise. */
export function outbound(t: Pick<TestContext, 'after'>, allow: string[] = outboundOptions.allow) {
  const client = createOutbound({ ...outboundOptions, allow });
  t.after(() => client.close());
  return provide(outboundService, client);
}

export interface Seen {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

export interface WebServer {
  url: string;
  seen: Seen[];
}

/** A web server on this machine that notes what it is asked. */
export async function startWeb(
  t: Pick<TestContext, 'after'>,
  answer: (request: Seen, response: ServerResponse) => void,
): Promise<WebServer> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request.setEncoding('utf8')) body += piece;
    const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
    seen.push(one);
    answer(one, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

export const json = (response: ServerResponse, value: unknown, status = 200) =>
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(value));
