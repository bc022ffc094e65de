import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import type { Authenticator, TokenCheck } from '../auth.ts';
import type { ContractName, Language } from '../contracts/contract.ts';
import { AppError, type LocalText } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Principal } from '../principal.ts';
import { admitCaller } from './gate.ts';

const BASE = '/api/v1';
const MAX_MESSAGE_BYTES = 64 * 1024;
const PING_MS = 30_000;
/** How old the last look at the token may be when something is sent. */
const RECHECK_MS = 1000;
/** An upgrade that nobody has answered by then is refused. */
const UNSERVED_MS = 1000;
/** A client that does not read is cut off here; it resumes from the store. */
const MAX_BUFFERED_BYTES = 1 << 20;

/** A raw WebSocket endpoint of one contract; a plugin contributes it. */
export interface SocketRoute {
  readonly contract: ContractName;
  /** Below `/api/v1`, parameters as `:name`. */
  readonly path: string;
  /** Serves one connection until it resolves; then the socket is closed with 1000. */
  handle(context: SocketContext): Promise<void>;
}

export const defineSocket = (route: SocketRoute): SocketRoute => route;

export interface SocketContext {
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly language: Language;
  readonly log: Logger;
  /** Fires when the connection ends, for whatever reason. */
  readonly signal: AbortSignal;
  /**
   * The caller behind the query's `token` or the bearer header. The handshake succeeds in any case, so that a client learns by
   * message and close code what is wrong.
   *
   * @throws {AppError} UNAUTHENTICATED, ACCOUNT_BLOCKED
   */
  caller(): Principal;
  /** Sends JSON. A client that does not read is cut off at a bounded buffer. */
  send(message: unknown): void;
  /** Messages of the client: the JSON they hold, or undefined for what is no JSON text. */
  onMessage(listener: (message: unknown) => void): void;
  /** @param code 1000-4999 */
  close(code: number, reason?: string): void;
}

export interface SocketsOptions {
  routes: readonly SocketRoute[];
  authenticator: Authenticator | undefined;
  log: Logger;
  language(header: string | undefined): Language;
}

export interface Sockets {
  /** Ends all connections with 1001 (going away). */
  close(): void;
}

/** Serves raw WebSockets through the server's upgrade, beside whatever else listens for upgrades on other paths. */
export function serveSockets(server: Server, { routes, authenticator, log, language }: SocketsOptions): Sockets {
  const acceptor = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, clientTracking: true });
  const compiled = routes.map((route) => ({ route, ...compile(BASE + route.path) }));

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // From here on nobody listens: a client that resets its connection would end the process.
    socket.on('error', (error) => log.debug({ err: error }, 'upgrade failed'));
    const url = parseUrl(request.url);
    if (url === undefined || !url.pathname.startsWith(`${BASE}/`)) {
      refuseUnserved(socket);
      return;
    }
    for (const { route, pattern, names } of compiled) {
      const match = pattern.exec(url.pathname.replace(/\/$/, ''));
      if (match === null) continue;
      const params = Object.fromEntries(names.map((name, at) => [name, decode(match[at + 1] ?? '')]));
      acceptor.handleUpgrade(request, socket, head, (client) => {
        void serve(client, route, { params, query: url.searchParams, request });
      });
      return;
    }
    socket.end(NOT_FOUND);
  });

  async function serve(
    client: WebSocket,
    route: SocketRoute,
    { params, query, request }: { params: Record<string, string>; query: URLSearchParams; request: IncomingMessage },
  ): Promise<void> {
    const end = new AbortController();
    const spoken = language(request.headers['accept-language']);
    const bearer = /^bearer\s+(.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const check = async (): Promise<TokenCheck> =>
      (await authenticator?.check(query.get('token') || bearer)) ?? { kind: 'none' };
    let checkedAt = performance.now();
    let known: TokenCheck = { kind: 'none' };
    /** A connection does not outlive a logout, a blocked account, or its token. */
    const recheck = () => {
      if (known.kind !== 'jwt' || performance.now() - checkedAt < RECHECK_MS) return;
      checkedAt = performance.now();
      check()
        .then((token) => void admitCaller('user', token))
        .catch((error: unknown) => {
          const refusal = socketRefusal(error);
          // The database is out of reach for a moment, say: the next look tells.
          if (!refusal || client.readyState !== client.OPEN) return;
          client.send(JSON.stringify({ type: 'error', message: refusal.text[spoken] }));
          client.close(refusal.code, refusal.text.en);
        });
    };
    const stopPings = keepAlive(client, recheck);
    client.on('close', () => {
      stopPings();
      end.abort();
    });
    client.on('error', (error) => log.debug({ err: error }, 'socket failed'));
    // Listened to from the start: a message may arrive while the token is checked.
    const early: unknown[] = [];
    let listener: ((message: unknown) => void) | undefined;
    client.on('message', (data, isBinary) => {
      const message = isBinary ? undefined : parseJson(data);
      if (listener) listener(message);
      else if (early.length < 16) early.push(message);
    });
    try {
      known = await check();
      await route.handle({
        params,
        query,
        language: spoken,
        log,
        signal: end.signal,
        caller: () => admitCaller('user', known),
        send(message) {
          if (client.readyState !== client.OPEN) return;
          if (client.bufferedAmount > MAX_BUFFERED_BYTES) client.terminate();
          else client.send(typeof message === 'string' ? message : JSON.stringify(message));
          recheck();
        },
        onMessage(added) {
          listener = added;
          for (const message of early.splice(0)) added(message);
        },
        close: (code, reason) => client.close(code, reason),
      });
      client.close(1000);
    } catch (error) {
      if (!end.signal.aborted) log.error({ err: error }, 'socket handler failed');
      client.close(1011);
    }
  }

  return {
    close() {
      for (const client of acceptor.clients) client.close(1001);
    },
  };
}

/** Refusals that sockets tell by message and close code. */
export const socketRefusal = (error: unknown): { text: LocalText; code: 4401 | 4403 | 4404 } | undefined => {
  if (!(error instanceof AppError)) return undefined;
  if (error.kind === 'unauthenticated') return { text: error.text, code: 4401 };
  if (error.kind === 'forbidden') return { text: error.text, code: 4403 };
  return error.kind === 'not_found' ? { text: error.text, code: 4404 } : undefined;
};

const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

/** Others listen for upgrades, too (socket.io); what none of them answers would stay open for ever. */
function refuseUnserved(socket: Duplex): void {
  const { bytesWritten } = socket as Socket;
  const timer = setTimeout(() => {
    if ((socket as Socket).bytesWritten === bytesWritten) socket.end(NOT_FOUND);
  }, UNSERVED_MS);
  socket.once('close', () => clearTimeout(timer));
}

/** Protocol-level pings; a client that answers none for a whole interval is gone. */
function keepAlive(client: WebSocket, beat: () => void): () => void {
  let alive = true;
  client.on('pong', () => {
    alive = true;
  });
  const timer = setInterval(() => {
    if (!alive) return client.terminate();
    alive = false;
    client.ping();
    beat();
  }, PING_MS);
  return () => clearInterval(timer);
}

function compile(path: string): { pattern: RegExp; names: string[] } {
  const names = [...path.matchAll(/:([^/]+)/g)].map(([, name]) => String(name));
  const source = path
    .split('/')
    .map((part) => (part.startsWith(':') ? '([^/]+)' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')))
    .join('/');
  return { pattern: new RegExp(`^${source}$`), names };
}

const parseUrl = (url: string | undefined) => URL.parse(url ?? '', 'http://localhost') ?? undefined;

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function parseJson(data: RawData): unknown {
  try {
    return JSON.parse(String(data));
  } catch {
    return undefined;
  }
}
