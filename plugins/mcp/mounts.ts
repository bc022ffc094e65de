import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js';
import { AppError } from '../../core/errors.ts';
import type { Mount, MountContext } from '../../core/http/mount.ts';
import type { Caller } from './caller.ts';
import { failureOf, methodRefused, originRefused, sessionMissing, sessionNotFound } from './errors.ts';
import type { ServerParts } from './server.ts';
import type { Session, Sessions } from './sessions.ts';

export interface MountParts extends Omit<ServerParts, 'callerOf'> {
  sessions: Sessions;
  /** Pages that may use the server; clients that are no browsers send no origin. */
  origins: readonly string[];
}

/** Messages of one request. */
const MAX_BATCH = 50;

/** `/mcp`: MCP over streamable HTTP. Each call of a tool stands in the audit log by itself. */
export function mcpMounts({ sessions, origins, ...parts }: MountParts): Mount[] {
  /** By what the SDK passes on with each message. */
  const callers = new WeakMap<AuthInfo, Caller>();
  const callerOf: ServerParts['callerOf'] = (auth) => {
    const caller = auth && callers.get(auth);
    if (caller === undefined) throw new Error('A message came without its caller');
    return caller;
  };

  const checkOrigin = ({ request }: MountContext) => {
    const origin = request.header('origin');
    if (origin !== undefined && !origins.includes(origin)) throw originRefused(origin);
  };

  const sessionOf = async ({ principal, request, body }: MountContext): Promise<Session> => {
    const id = request.header('mcp-session-id');
    if (id === undefined) {
      // With the first client: what the SDK brings along is large.
      const [{ isInitializeRequest }, { createMcpServer }] = await Promise.all([
        import('@modelcontextprotocol/sdk/types.js'),
        import('./server.ts'),
      ]);
      const first = Array.isArray(body) ? body[0] : body;
      if (!isInitializeRequest(first)) throw sessionMissing();
      return sessions.begin(principal, (closed) => createMcpServer({ ...parts, callerOf }, closed));
    }
    const session = sessions.find(id, principal);
    if (session === undefined) throw sessionNotFound();
    return session;
  };

  const handle = async (context: MountContext): Promise<'sent'> => {
    checkOrigin(context);
    const { koa, body, principal, request, allowed, closing } = context;
    if (Array.isArray(body) && body.length > MAX_BATCH) {
      throw new AppError('too_large', 'MCP_BATCH_TOO_LARGE', {
        zh: `一次最多 ${MAX_BATCH} 条消息`,
        en: `At most ${MAX_BATCH} messages at once`,
      });
    }
    const session = await sessionOf(context);
    const { language, ip, traceId, log } = request;
    // The token itself goes no further.
    const auth: AuthInfo = { token: '', clientId: principal.accountId, scopes: [] };
    callers.set(auth, { principal, language, ip, traceId, log, allowed });
    koa.respond = false;
    session.requests += 1;
    const end = () => void sessions.close();
    closing.addEventListener('abort', end, { once: true });
    try {
      await session.transport.handleRequest(Object.assign(koa.req, { auth }), koa.res, body);
    } finally {
      closing.removeEventListener('abort', end);
      session.requests -= 1;
      session.usedAt = Date.now();
    }
    return 'sent';
  };

  const mount = (method: Mount['method'], handler: Mount['handler']): Mount => ({
    method,
    path: '/mcp',
    summary: { zh: 'MCP 服务器', en: 'The MCP server' },
    audited: false,
    failure: failureOf,
    handler,
  });
  return [
    mount('POST', handle),
    mount('DELETE', handle),
    // There is nothing that the server says unasked, so it has no stream for it.
    mount('ANY', async (context) => {
      checkOrigin(context);
      throw methodRefused(context.koa.method);
    }),
  ];
}
