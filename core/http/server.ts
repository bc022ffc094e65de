import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import Router from '@koa/router';
import Koa, { type Context, type Middleware } from 'koa';
import type { Language } from '../contracts/contract.ts';
import { AppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Static } from '../schema.ts';
import { Type } from '../schema.ts';
import { type Api, type ApiContext, type ApiOptions, createApi } from './api.ts';
import { addDocs } from './docs.ts';
import { limitsSchema } from './limits.ts';
import type { Mount } from './mount.ts';
import { createMounts } from './mounts.ts';
import { type SocketRoute, serveSockets } from './socket.ts';
import { unreadableAnswer } from './unreadable.ts';

/** Section `http` of the manifest. */
export const httpSchema = Type.Object(
  {
    origins: Type.Array(Type.String(), {
      default: [],
      description: 'origins whose pages may call the API; no wildcard',
    }),
    trustProxy: Type.Boolean({ default: false, description: 'take the client address from X-Forwarded-For' }),
    limits: limitsSchema,
  },
  { default: {} },
);
export type HttpOptions = Static<typeof httpSchema>;

/** Connections that wait to be accepted; beyond them clients try again only after seconds. The system may allow fewer. */
const BACKLOG = 4096;
/** Codes of what happens when a client goes away in the middle. */
const CLIENT_GONE = /^(ECONNRESET|ECONNABORTED|EPIPE|ERR_STREAM_PREMATURE_CLOSE|HPE_.*)$/;

const EXPOSED = [
  'X-Conversation-Id',
  'X-Trace-Id',
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
  'Retry-After',
  'Content-Disposition',
  'ETag',
  'Mcp-Session-Id',
].join(', ');

/** Milliseconds after which a connection is ended on which nothing moves. */
interface Patience {
  /** While the client is to send a body. */
  bodyIdleMs: number;
  /** While the client is to read an answer; long enough for somebody who pauses a download. */
  unreadMs: number;
}
const PATIENCE: Patience = { bodyIdleMs: 60_000, unreadMs: 300_000 };

export interface HttpServerOptions extends ApiOptions {
  log: Logger;
  http: HttpOptions;
  sockets?: readonly SocketRoute[];
  mounts?: readonly Mount[];
  version: string;
  /** For tests; what is missing is as in `PATIENCE`. */
  patience?: Partial<Patience>;
  /** What is not ready right now, by part. */
  notReady(): Promise<Record<string, string>>;
}

export interface HttpServer {
  readonly server: Server;
  readonly api: Api;
  /** Listens and returns the address, for example `http://127.0.0.1:8037`. */
  listen(host: string, port: number): Promise<string>;
  /** Stops accepting, ends event streams, waits for running requests, and then cuts what is left. */
  close(timeoutMs: number): Promise<void>;
}

/** The HTTP server: the five APIs, the documents, and the two health checks. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { log, http } = options;
  const koa = new Koa({ proxy: http.trustProxy });
  koa.on('error', (error: NodeJS.ErrnoException) => {
    // A client that goes away in the middle of an answer is no fault of ours.
    if (!CLIENT_GONE.test(error.code ?? '')) log.error({ err: error }, 'response failed');
  });
  const api = createApi(options);
  const mounts = createMounts({ ...options, mounts: options.mounts ?? [], audit: options.audit });
  let closing = false;

  const health = new Router();
  health.get('/healthz', (ctx) => {
    ctx.body = { status: 'ok' };
  });
  health.get('/readyz', async (ctx) => {
    const notReady = closing ? { server: 'shutting down' } : await options.notReady();
    ctx.status = Object.keys(notReady).length === 0 ? 200 : 503;
    ctx.body = { status: ctx.status === 200 ? 'ready' : 'not ready', notReady };
  });
  addDocs(health, { ...options, language: spokenLanguage });

  const router = new Router({ prefix: '/api/v1', sensitive: true });
  for (const { method, shape } of api.shapes) {
    let count = 0;
    const path = shape.replace(/:/g, () => `:p${count++}`);
    router.register(path, [method], (ctx) =>
      api.serve(
        ctx as unknown as ApiContext,
        method,
        shape,
        Array.from({ length: count }, (_, at) => ctx.params[`p${at}`] ?? ''),
      ),
    );
  }

  koa.use(describeRequest(log));
  koa.use(crossOrigin(http.origins));
  koa.use(health.routes());
  koa.use(mounts.routes);
  koa.use(router.routes());
  koa.use(async (ctx) => {
    if (ctx.body === undefined && ctx.status === 404 && ctx.respond !== false)
      await api.refuse(ctx as unknown as ApiContext);
  });

  // Clients that offer HTTP/2 on plain connections (`Upgrade: h2c`) are answered in HTTP/1.1.
  const shouldUpgradeCallback = ({ headers }: IncomingMessage) => /^websocket$/i.test(headers.upgrade ?? '');
  const server = createServer({ shouldUpgradeCallback }, koa.callback());
  const sockets = serveSockets(server, {
    routes: options.sockets ?? [],
    authenticator: options.authenticator,
    log,
    language: (header) => (/^\s*en\b/i.test(header ?? '') ? 'en' : 'zh'),
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === 'ECONNRESET') return socket.destroy();
    socket.end(unreadableAnswer(error));
  });
  // Slow clients may not hold a connection without sending their request; a slow line may take its time for a large file.
  server.headersTimeout = 30_000;
  server.requestTimeout = 1_800_000;
  // Longer than clients and proxies keep their connections: who lets one go while the other uses it again loses a request.
  server.keepAliveTimeout = 75_000;
  server.prependListener('request', (request, response) =>
    endStalled(request, response, { ...PATIENCE, ...options.patience }),
  );
  return {
    server,
    api,
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(host, port, error)));
        server.listen({ port, host, backlog: BACKLOG }, () => {
          server.removeAllListeners('error');
          const address = server.address();
          const bound = typeof address === 'object' && address !== null ? address.port : port;
          resolve(`http://${host.includes(':') ? `[${host}]` : host}:${bound}`);
        });
      }),
    async close(timeoutMs) {
      closing = true;
      api.endStreams();
      mounts.endStreams();
      sockets.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Ends a connection on which nothing moves while a body is due, or while a part of the answer waits to be read. */
function endStalled(request: IncomingMessage, response: ServerResponse, { bodyIdleMs, unreadMs }: Patience): void {
  const { headers, socket } = request;
  const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  socket.setTimeout(hasBody ? bodyIdleMs : unreadMs);
  response.on('timeout', () => {
    if (!request.complete || socket.writableLength > 0) socket.destroy();
    // The answer is still being made.
    else socket.setTimeout(unreadMs);
  });
  // What comes after the answer is the pause between two requests, which has a limit of its own.
  if (hasBody) request.once('end', () => response.writableFinished || socket.setTimeout(unreadMs));
}

const cannotListen = (host: string, port: number, error: NodeJS.ErrnoException) =>
  new AppError(
    'unavailable',
    'LISTEN_FAILED',
    {
      zh: `无法监听 ${host}:${port}（${error.code}）${error.code === 'EADDRINUSE' ? '：端口已被占用，可用环境变量 PORT 换一个' : ''}`,
      en: `Cannot listen on ${host}:${port} (${error.code})${error.code === 'EADDRINUSE' ? ': the port is in use, choose another one by PORT' : ''}`,
    },
    { cause: error },
  );

const spokenLanguage = (ctx: Context): Language => (ctx.acceptsLanguages('zh', 'en') === 'en' ? 'en' : 'zh');

/** Trace id, language, log, and the headers of every answer. */
function describeRequest(log: Logger): Middleware {
  return async (ctx, next) => {
    const given = ctx.get('x-trace-id');
    const traceId = /^[\x21-\x7e]{1,128}$/.test(given) ? given : randomUUID();
    ctx.state = {
      traceId,
      language: spokenLanguage(ctx),
      // Made when something is logged: most requests have nothing to say beside their own line.
      get log() {
        return log.child({ traceId });
      },
    };
    ctx.set('X-Trace-Id', traceId);
    ctx.set('X-Content-Type-Options', 'nosniff');
    const started = performance.now();
    try {
      await next();
    } finally {
      // The path alone: queries can carry tokens.
      const { method, path, status } = ctx;
      log.info({ traceId, method, path, status, ms: Math.round(performance.now() - started) }, 'request');
    }
  };
}

/** Answers cross-origin requests of the configured pages; `OPTIONS` needs no token. */
function crossOrigin(origins: readonly string[]): Middleware {
  return async (ctx, next) => {
    const origin = ctx.get('origin');
    if (origin !== '') ctx.vary('Origin');
    const allowed = origins.includes(origin);
    if (allowed) {
      ctx.set('Access-Control-Allow-Origin', origin);
      ctx.set('Access-Control-Expose-Headers', EXPOSED);
    }
    if (ctx.method !== 'OPTIONS') return next();
    if (allowed) {
      ctx.set('Access-Control-Allow-Methods', 'GET, HEAD, POST, PUT, PATCH, DELETE');
      ctx.set(
        'Access-Control-Allow-Headers',
        'Authorization, Content-Type, X-Tenant-Id, X-Trace-Id, X-Api-Contract, Last-Event-ID, If-None-Match, Idempotency-Key, Mcp-Session-Id, Mcp-Protocol-Version',
      );
      ctx.set('Access-Control-Max-Age', '600');
    }
    ctx.status = 204;
  };
}
