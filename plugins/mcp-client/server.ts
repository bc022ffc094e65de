import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CallToolResultSchema,
  ErrorCode,
  ListToolsResultSchema,
  McpError,
  type Tool,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { AppError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type TObject, Type } from '../../core/schema.ts';
import type { ToolContext, ToolDefinition } from '../../core/tool.ts';
import type { ToolService } from '../../runtime/tools/service.ts';
import { mcpAnswerInvalid, mcpTimeout, mcpToolFailed, mcpUnavailable } from './errors.ts';
import { toolName } from './names.ts';
import type { Target } from './options.ts';
import { resultText } from './results.ts';
import { createTransport } from './transport.ts';

const MAX_TOOLS = 200;
const MAX_PAGES = 20;
const MAX_DESCRIPTION = 4000;
const MAX_SCHEMA = 32 * 1024;
const MAX_REASON = 1000;
const MOST_RETRY_MS = 60_000;
const STABLE_MS = 10_000;
/** How long a call waits for a connection that is being made. */
const CONNECTION_MS = 5000;
/** How long a server has to forget a session at the end. */
const GOODBYE_MS = 1000;
/** Changes of the list of tools that come together are one. */
const CHANGE_MS = 200;

export interface McpServerParts {
  name: string;
  target: Target;
  tools: Pick<ToolService, 'add'>;
  log: Logger;
  pingMs: number;
  retryMs: number;
}

/** One MCP server: connected in the background, again and again when it goes away; its tools are in the registry. */
export class McpServer {
  readonly #parts: McpServerParts;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #connectedOnce = Promise.withResolvers<void>();
  #client: Client | undefined;
  #lose: (reason: unknown) => void = () => undefined;
  #disposers: (() => void)[] = [];
  #work: Promise<void> | undefined;
  #change: NodeJS.Timeout | undefined;
  /** Calls that wait for a connection. */
  readonly #waiting = new Set<() => void>();

  constructor(parts: McpServerParts) {
    this.#parts = parts;
    this.#log = parts.log.child({ server: parts.name });
  }

  /** Begins to connect. Resolves when it has been connected for the first time, which may be never. */
  start(): Promise<void> {
    this.#work ??= this.#keepConnected();
    return this.#connectedOnce.promise;
  }

  /** Ends the connection, and the process behind it. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#work;
  }

  async #keepConnected(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      const begun = performance.now();
      try {
        await this.#session(() => {
          if (failures > 0) this.#log.info('mcp: connected again');
          this.#connectedOnce.resolve();
        });
      } catch (error) {
        if (signal.aborted) return;
        // Said once; what follows are repetitions.
        this.#log[failures === 0 ? 'warn' : 'debug']({ reason: this.#reason(error) }, 'mcp: not connected');
      }
      // A connection that was well for a while is made anew at once.
      failures = performance.now() - begun > STABLE_MS ? 0 : failures + 1;
      const pause = failures === 0 ? 0 : Math.min(this.#parts.retryMs * 2 ** (failures - 1), MOST_RETRY_MS);
      await delay(pause * (0.8 + 0.4 * Math.random()), undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** One connection from its begin to its end. @throws why it could not be made, or ended */
  async #session(connected: () => void): Promise<void> {
    const { target, pingMs } = this.#parts;
    const lost = Promise.withResolvers<never>();
    lost.promise.catch(() => undefined);
    const stop = () => lost.reject(new Error('closing'));
    this.#closing.signal.addEventListener('abort', stop, { once: true });
    const client = new Client({ name: 'koagent', version: '1.0.0' }, { capabilities: {} });
    client.onclose = () => lost.reject(new Error('the connection ended'));
    client.onerror = (error) => this.#log.debug({ reason: this.#reason(error) }, 'mcp: error');
    const transport = createTransport(target, (line) => this.#log.debug({ line: this.#redact(line) }, 'mcp: says'));
    let pings: NodeJS.Timeout | undefined;
    try {
      const connecting = client.connect(transport, { timeout: target.connectMs });
      connecting.catch(() => undefined);
      await Promise.race([connecting, lost.promise]);
      this.#setTools(await Promise.race([this.#listTools(client), lost.promise]));
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => this.#changed(client));
      this.#client = client;
      this.#lose = lost.reject;
      for (const go of this.#waiting) go();
      connected();
      pings = setInterval(() => client.ping({ timeout: Math.min(pingMs, target.callMs) }).catch(lost.reject), pingMs);
      pings.unref();
      await lost.promise;
    } finally {
      this.#client = undefined;
      clearInterval(pings);
      clearTimeout(this.#change);
      this.#closing.signal.removeEventListener('abort', stop);
      client.onclose = undefined;
      if (transport instanceof StreamableHTTPClientTransport) {
        const goodbye = transport.terminateSession().catch(() => undefined);
        await Promise.race([goodbye, delay(GOODBYE_MS, undefined, { ref: false })]);
      }
      // Also ends a process that was started and never answered.
      await Promise.allSettled([client.close(), transport.close()]);
      if (this.#closing.signal.aborted) this.#setTools([]);
    }
  }

  async #listTools(client: Client): Promise<Tool[]> {
    const found: Tool[] = [];
    let cursor: string | undefined;
    const { connectMs: timeout } = this.#parts.target;
    // By hand: the client's own method would compile the schemas that the server claims for its results.
    for (let page = 0; page < MAX_PAGES && found.length < MAX_TOOLS; page += 1) {
      const params = cursor === undefined ? {} : { cursor };
      const list = await client.request({ method: 'tools/list', params }, ListToolsResultSchema, { timeout });
      found.push(...list.tools);
      if (list.nextCursor === undefined || list.nextCursor === cursor) break;
      cursor = list.nextCursor;
    }
    return found.slice(0, MAX_TOOLS);
  }

  #changed(client: Client) {
    clearTimeout(this.#change);
    this.#change = setTimeout(() => {
      this.#listTools(client).then(
        (tools) => {
          if (this.#client === client) this.#setTools(tools);
        },
        (error: unknown) => this.#log.debug({ reason: this.#reason(error) }, 'mcp: the tools could not be listed'),
      );
    }, CHANGE_MS);
    this.#change.unref();
  }

  /** Tools stay in the registry while the server is away: a call of one then fails plainly. */
  #setTools(tools: readonly Tool[]) {
    const { target, name, tools: registry } = this.#parts;
    for (const dispose of this.#disposers.splice(0)) dispose();
    for (const tool of tools) {
      if (target.tools && !target.tools.includes(tool.name)) continue;
      try {
        this.#disposers.push(registry.add(this.#definition(tool)));
      } catch (error) {
        this.#log.warn({ tool: tool.name.slice(0, 100), reason: this.#reason(error) }, 'mcp: a tool is left out');
      }
    }
    if (tools.length > 0) this.#log.info({ tools: this.#disposers.length }, `mcp: tools of ${name}`);
  }

  #definition({ name, title, description, inputSchema, annotations, execution }: Tool): ToolDefinition {
    if (JSON.stringify(inputSchema).length > MAX_SCHEMA)
      throw new Error(`a schema of more than ${MAX_SCHEMA} characters`);
    if (execution?.taskSupport === 'required') throw new Error('it can be called as a task only');
    return {
      name: toolName(this.#parts.name, name),
      category: 'mcp',
      description: (description ?? title ?? annotations?.title ?? name).slice(0, MAX_DESCRIPTION),
      parameters: Type.Unsafe<Record<string, unknown>>(inputSchema) as unknown as TObject,
      checksArguments: true,
      effect: annotations?.readOnlyHint === true ? 'reads' : 'changes',
      // A little more than what the server is given, so that its own time-out comes first.
      timeoutMs: this.#parts.target.callMs + 1000,
      available: () => this.#client !== undefined,
      call: (context) => this.#call(name, context),
    };
  }

  /** @throws {AppError} MCP_UNAVAILABLE, MCP_TIMEOUT, MCP_TOOL_FAILED, MCP_ANSWER_INVALID */
  async #call(tool: string, { arguments: args, idempotencyKey, signal }: ToolContext): Promise<string> {
    const { name, target } = this.#parts;
    const params = { name: tool, arguments: args, _meta: { 'koagent/idempotency-key': idempotencyKey } };
    const ask = async () => {
      const client = this.#client ?? (await this.#connected(signal));
      return client.request({ method: 'tools/call', params }, CallToolResultSchema, { signal, timeout: target.callMs });
    };
    try {
      const result = await ask().catch((error: unknown) => {
        // The server does not know the session any more, so nothing was done: once more in a new one.
        if (!(error instanceof StreamableHTTPError) || error.code !== 404) throw error;
        this.#lose(error);
        this.#client = undefined;
        return ask();
      });
      const text = this.#redact(resultText(result));
      if (result.isError) throw mcpToolFailed(name, text.slice(0, MAX_REASON));
      return text;
    } catch (error) {
      signal.throwIfAborted();
      throw this.#failure(error);
    }
  }

  /** @throws {AppError} MCP_UNAVAILABLE */
  async #connected(signal: AbortSignal): Promise<Client> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    try {
      await Promise.race([promise, delay(CONNECTION_MS, undefined, { signal, ref: false })]);
    } finally {
      this.#waiting.delete(resolve);
    }
    if (this.#client === undefined) throw mcpUnavailable(this.#parts.name);
    return this.#client;
  }

  /** What a failed call means; a connection that is of no use any more is made anew. */
  #failure(error: unknown): unknown {
    const { name, target } = this.#parts;
    if (error instanceof McpError) {
      if (error.code === ErrorCode.RequestTimeout) return mcpTimeout(name, target.callMs);
      if (error.code === ErrorCode.ConnectionClosed) return mcpUnavailable(name, error);
      return mcpToolFailed(name, this.#reason(error));
    }
    // No such session any more, refused, or out of reach.
    if (error instanceof StreamableHTTPError || error instanceof TypeError) {
      this.#lose(error);
      return mcpUnavailable(name, error);
    }
    // Not JSON, of another form, or without end.
    return error instanceof AppError ? error : mcpAnswerInvalid(name, error);
  }

  #reason(error: unknown): string {
    const text = error instanceof Error ? error.message : String(error);
    return this.#redact(text.replace(/\s+/g, ' ')).slice(0, MAX_REASON);
  }

  #redact(text: string): string {
    return this.#parts.target.secrets.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text);
  }
}
