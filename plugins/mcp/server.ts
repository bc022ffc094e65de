import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { CallToolRequestSchema, ErrorCode, ListToolsRequestSchema, McpError } from '@modelcontextprotocol/sdk/types.js';
import type { AuditService } from '../../core/audit.ts';
import type { Principal } from '../../core/principal.ts';
import type { Caller } from './caller.ts';
import { failureResult, type Progress, type ServedTool } from './tools/tool.ts';

export interface ServerParts {
  /** The tools of a caller, or at least the one of a name. */
  tools(principal: Principal, named?: string): Promise<ServedTool[]>;
  /** Who sent the message that came with this. */
  callerOf(auth: AuthInfo | undefined): Caller;
  audit: AuditService | undefined;
}

const INSTRUCTIONS =
  'Agents (ask_…) answer questions; workflows (run_…) are carried out and give their result. Both are durable: a call that is cut off goes on.';
/** Calls of one session that may be under way. */
const MAX_CALLS = 16;
/** Progress is told no more often. */
const PROGRESS_MS = 250;
/** How often a long call looks whether its token is still good. */
const RECHECK_MS = 5000;

/**
 * One MCP session. `closed` tells whether the session is over: then a call that loses its client goes on, while one that the client
 * cancels ends.
 */
export function createMcpServer(parts: ServerParts, closed: () => boolean): Server {
  const server = new Server(
    { name: 'koagent', version: '1.0.0' },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  );
  let calls = 0;

  server.setRequestHandler(ListToolsRequestSchema, async (_request, { authInfo }) => {
    const tools = await parts.tools(parts.callerOf(authInfo).principal);
    return { tools: tools.map(({ definition }) => definition) };
  });

  server.setRequestHandler(CallToolRequestSchema, async ({ params }, { authInfo, signal, sendNotification }) => {
    const caller = parts.callerOf(authInfo);
    const tool = (await parts.tools(caller.principal, params.name)).find(
      ({ definition }) => definition.name === params.name,
    );
    if (tool === undefined) throw new McpError(ErrorCode.InvalidParams, `There is no tool ${params.name}`);
    if (calls >= MAX_CALLS) throw new McpError(ErrorCode.InvalidRequest, `More than ${MAX_CALLS} calls at once`);
    calls += 1;
    const token = params._meta?.progressToken;
    const report =
      token === undefined
        ? () => undefined
        : paced((progress) =>
            sendNotification({ method: 'notifications/progress', params: { progressToken: token, ...progress } }),
          );
    const cancel = new AbortController();
    const onAbort = () => {
      if (!closed()) cancel.abort();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const gone = new AbortController();
    const guard = setInterval(async () => {
      if (!(await caller.allowed().catch(() => true))) gone.abort(new Error('the token is no longer good'));
    }, RECHECK_MS);
    const ids = [tool.objectId];
    let failed = true;
    try {
      const result = await tool.call({
        caller,
        arguments: params.arguments ?? {},
        cancelled: cancel.signal,
        gone: AbortSignal.any([gone.signal, signal]),
        report,
        touch: (id) => ids.push(id),
      });
      failed = result.isError === true;
      return result;
    } catch (error) {
      return failureResult(error, caller);
    } finally {
      calls -= 1;
      clearInterval(guard);
      signal.removeEventListener('abort', onAbort);
      note(parts.audit, caller, params.name, ids, failed);
    }
  });
  return server;
}

/** Not more often than every so many milliseconds, and each time a little further: progress must grow. */
function paced(
  tell: (told: { progress: number; total?: number; message: string }) => Promise<void>,
): (what: Progress) => void {
  let last = Number.NEGATIVE_INFINITY;
  let progress = 0;
  return ({ fraction, message }) => {
    const now = performance.now();
    if (now - last < PROGRESS_MS) return;
    last = now;
    progress = fraction === undefined ? progress + 1 : Math.max(fraction, progress + 1e-6);
    // A client that has gone away misses it.
    tell({ progress, ...(fraction !== undefined && { total: 1 }), message }).catch(() => undefined);
  };
}

function note(audit: AuditService | undefined, caller: Caller, tool: string, objectIds: string[], failed: boolean) {
  const { principal, ip, traceId } = caller;
  audit?.record({
    at: new Date(),
    tenantId: principal.tenantId,
    accountId: principal.accountId,
    principal: principal.kind,
    method: 'POST',
    route: '/mcp',
    action: { zh: `调用 MCP 工具 ${tool}`, en: `Calls the MCP tool ${tool}` },
    objectIds,
    status: failed ? 500 : 200,
    ip,
    traceId,
  });
}
