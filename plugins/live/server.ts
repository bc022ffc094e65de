import type { Server as HttpServer } from 'node:http';
import { Server, type Socket } from 'socket.io';
import type { Authenticator } from '../../core/auth.ts';
import { AppError, toErrorRecord } from '../../core/errors.ts';
import { admitCaller } from '../../core/http/gate.ts';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import type { RunService } from '../../runtime/runs/service.ts';
import { Backlog } from './backlog.ts';
import { followRun, type LiveEvent } from './follow.ts';

export interface LiveOptions {
  runs: RunService;
  authenticator: Authenticator;
  log: Logger;
  path: string;
  origins: string[];
  subscriptions: number;
  stalledMs: number;
  /** How often the token of a connection is looked at again. */
  recheckMs: number;
}

/** What a client sends to follow a run; `from` is the number of the first event it has not seen. */
interface SubscribeRequest {
  run_id?: unknown;
  from?: unknown;
}

type Ack = ((answer: Record<string, unknown>) => void) | undefined;

interface ClientEvents {
  subscribe(request: SubscribeRequest, ack?: Ack): void;
  unsubscribe(request: SubscribeRequest, ack?: Ack): void;
}
interface ServerEvents {
  event(event: LiveEvent): void;
  /** No more events will come for this run. */
  end(end: { run_id: string; status: string; next: number }): void;
}
type LiveSocket = Socket<ClientEvents, ServerEvents, Record<string, never>, { principal: Principal }>;

/**
 * socket.io over the run log: a client authenticates with its access token (`auth: { token, tenant? }`), subscribes to a run from
 * an offset, and after a reconnect subscribes again from the next number. Nothing is kept per client but its subscriptions.
 */
export function createLiveServer(options: LiveOptions): { attach(server: HttpServer): void; close(): Promise<void> } {
  const { runs, authenticator, log, origins, path } = options;
  const io = new Server<ClientEvents, ServerEvents, Record<string, never>, { principal: Principal }>({
    path,
    // Raw WebSockets of other endpoints share the server's upgrades.
    destroyUpgrade: false,
    serveClient: false,
    maxHttpBufferSize: 64 * 1024,
    ...(origins.length > 0 && { cors: { origin: origins } }),
  });

  io.use(async (socket, next) => {
    try {
      socket.data.principal = await callerOf(socket, authenticator);
      next();
    } catch (error) {
      const { code, message } = toErrorRecord(error);
      next(Object.assign(new Error(message.en), { data: { code, message: message.zh } }));
    }
  });

  io.on('connection', (socket: LiveSocket) => {
    const followed = new Map<string, AbortController>();
    const backlog = new Backlog(socket.conn, options.stalledMs);
    const stop = (runId: string) => {
      followed.get(runId)?.abort();
      followed.delete(runId);
    };
    // A logout or a blocked account ends the connection; while the database is out of reach, the next look tells.
    const recheck = setInterval(() => {
      callerOf(socket, authenticator).catch((error: unknown) => {
        if (error instanceof AppError && error.kind !== 'unavailable') socket.disconnect(true);
      });
    }, options.recheckMs).unref();
    socket.on('disconnect', () => {
      clearInterval(recheck);
      for (const runId of [...followed.keys()]) stop(runId);
    });

    socket.on('subscribe', async (request, ack) => {
      const answer = typeof ack === 'function' ? ack : () => undefined;
      try {
        const { runId, from } = readRequest(request);
        const { principal } = socket.data;
        const run = await runs.get(principal, runId);
        if (run === undefined) throw notFound(runId);
        if (!followed.has(runId) && followed.size >= options.subscriptions) throw tooMany(options.subscriptions);
        // A second subscription to the same run replaces the first: the client says where it is.
        stop(runId);
        const end = new AbortController();
        followed.set(runId, end);
        answer({ ok: true, run_id: runId, from, status: run.status });
        const done = await followRun({
          socket,
          runs,
          principal,
          run,
          from,
          signal: end.signal,
          backlog,
        });
        if (followed.get(runId) === end) followed.delete(runId);
        if (done !== undefined) socket.emit('end', { run_id: runId, ...done });
      } catch (error) {
        if (!(error instanceof AppError)) log.error({ err: error }, 'subscription failed');
        const { code, message } = toErrorRecord(error);
        answer({ ok: false, code, message: message.zh });
      }
    });

    socket.on('unsubscribe', (request, ack) => {
      if (typeof request?.run_id === 'string') stop(request.run_id);
      if (typeof ack === 'function') ack({ ok: true });
    });
  });

  return {
    attach: (server) => void io.attach(server),
    close: () => io.close(),
  };
}

async function callerOf(socket: LiveSocket, authenticator: Authenticator): Promise<Principal> {
  const { token, tenant } = socket.handshake.auth as { token?: unknown; tenant?: unknown };
  const header = /^bearer\s+(.+)$/i.exec(socket.handshake.headers.authorization ?? '')?.[1];
  const check = await authenticator.check(typeof token === 'string' ? token : header);
  if (check.kind === 'api') return admitCaller('api', check);
  const principal = admitCaller('user', check);
  if (typeof tenant !== 'string' || check.kind !== 'jwt') return principal;
  return authenticator.inTenant(check.identity, tenant);
}

function readRequest(request: SubscribeRequest | undefined): { runId: string; from: number } {
  const { run_id: runId, from = 0 } = request ?? {};
  if (typeof runId !== 'string' || runId === '' || runId.length > 200) {
    throw new AppError('invalid', 'RUN_ID_REQUIRED', { zh: 'run_id 不能为空', en: 'run_id is required' });
  }
  if (typeof from !== 'number' || !Number.isSafeInteger(from) || from < 0) {
    throw new AppError('invalid', 'OFFSET_INVALID', {
      zh: 'from 必须是不小于 0 的整数',
      en: 'from must be an integer of 0 or more',
    });
  }
  return { runId, from };
}

const notFound = (runId: string) =>
  new AppError('not_found', 'RUN_NOT_FOUND', { zh: '运行不存在', en: `There is no run ${runId}` });

const tooMany = (limit: number) =>
  new AppError('rate_limited', 'TOO_MANY_SUBSCRIPTIONS', {
    zh: `一个连接最多订阅 ${limit} 个运行`,
    en: `One connection may follow ${limit} runs at most`,
  });
