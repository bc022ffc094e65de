import { randomUUID } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  ListToolsRequestSchema,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js';

/** What a tool of a test server does. */
export type Act = (
  args: Record<string, unknown>,
  more: { meta: unknown; signal: AbortSignal },
) => CallToolResult | Promise<CallToolResult>;

export interface TestTool extends Partial<Omit<Tool, 'name'>> {
  act: Act;
}

export const said = (text: string): CallToolResult => ({ content: [{ type: 'text', text }] });

/** A server of the official SDK with the tools of a test; they may be changed while it runs. */
export function createTestMcp(tools: Record<string, TestTool>): Server {
  const server = new Server({ name: 'test', version: '1.0.0' }, { capabilities: { tools: { listChanged: true } } });
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: Object.entries(tools).map(([name, { act: _, ...rest }]) => ({
      name,
      inputSchema: { type: 'object' as const },
      ...rest,
    })),
  }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }, { signal }) => {
    const tool = tools[params.name];
    if (!tool) throw new Error(`no tool ${params.name}`);
    return tool.act(params.arguments ?? {}, { meta: params._meta, signal });
  });
  return server;
}

export interface HttpMcp {
  readonly url: string;
  readonly port: number;
  /** Headers of the requests so far. */
  readonly seen: IncomingHttpHeaders[];
  /** Sessions that are open. */
  readonly sessions: ReadonlyMap<string, Server>;
  /** Forgets all sessions, as a server does that was restarted. */
  forget(): void;
  close(): Promise<void>;
}

/** The same over streamable HTTP, with sessions. */
export async function serveMcp(tools: Record<string, TestTool>, port = 0): Promise<HttpMcp> {
  const transports = new Map<string, StreamableHTTPServerTransport>();
  const sessions = new Map<string, Server>();
  const seen: IncomingHttpHeaders[] = [];
  const http = createServer(async (request, response) => {
    seen.push(request.headers);
    const id = request.headers['mcp-session-id'];
    if (typeof id === 'string') {
      const transport = transports.get(id);
      if (transport) await transport.handleRequest(request, response);
      else response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"no such session"}');
      return;
    }
    const server = createTestMcp(tools);
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (sessionId) => {
        transports.set(sessionId, transport);
        sessions.set(sessionId, server);
      },
      onsessionclosed: (sessionId) => {
        transports.delete(sessionId);
        sessions.delete(sessionId);
      },
    });
    await server.connect(transport);
    await transport.handleRequest(request, response);
  });
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  const address = http.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}/mcp`,
    port: address.port,
    seen,
    sessions,
    forget() {
      transports.clear();
      sessions.clear();
    },
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
}
