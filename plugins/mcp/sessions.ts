import { randomUUID } from 'node:crypto';
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import { tooManySessions } from './errors.ts';

export interface SessionLimits {
  /** Sessions of the server at once. */
  total: number;
  /** Of one account; the one that was not used for longest gives way. */
  perAccount: number;
  idleMs: number;
  /** The longest life of a session. */
  ageMs: number;
}

/** One client. It belongs to the account that has begun it, in one tenant. */
export interface Session {
  readonly transport: StreamableHTTPServerTransport;
  readonly owner: string;
  readonly createdAt: number;
  usedAt: number;
  /** HTTP requests under way. */
  requests: number;
  closed: boolean;
}

const ownerOf = ({ tenantId, accountId }: Principal) => `${tenantId}\0${accountId}`;

/** The sessions of this process. A client whose session is gone begins another one, as the protocol wants it. */
export class Sessions {
  readonly #limits: SessionLimits;
  readonly #log: Logger;
  readonly #sessions = new Map<string, Session>();

  constructor(limits: SessionLimits, log: Logger) {
    this.#limits = limits;
    this.#log = log;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** The caller's session; sessions of others are not found. */
  find(id: string, principal: Principal): Session | undefined {
    const session = this.#sessions.get(id);
    if (session === undefined || session.owner !== ownerOf(principal)) return undefined;
    session.usedAt = Date.now();
    return session;
  }

  /**
   * Begins a session.
   *
   * @param createServer makes the protocol's side of it, given whether the session is over
   * @throws {AppError} MCP_SESSIONS_FULL
   */
  async begin(principal: Principal, createServer: (closed: () => boolean) => Server): Promise<Session> {
    const { StreamableHTTPServerTransport } = await import('@modelcontextprotocol/sdk/server/streamableHttp.js');
    const owner = ownerOf(principal);
    this.#makeRoom(owner);
    const id = randomUUID();
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      onsessionclosed: () => this.#end(id),
    });
    const now = Date.now();
    const session: Session = { transport, owner, createdAt: now, usedAt: now, requests: 0, closed: false };
    this.#sessions.set(id, session);
    transport.onerror = (error) => this.#log.debug({ err: error }, 'mcp: a message was refused');
    // The types of the SDK are looser than ours: a callback that may be undefined is one that may be missing.
    await createServer(() => session.closed).connect(transport as Parameters<Server['connect']>[0]);
    return session;
  }

  /** Ends what was not used for long or is too old; what is under way is left alone until it is too old. */
  sweep(now = Date.now()): void {
    for (const [id, { createdAt, usedAt, requests }] of this.#sessions) {
      const idle = requests === 0 && now - usedAt > this.#limits.idleMs;
      if (idle || now - createdAt > this.#limits.ageMs) void this.#end(id);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions.keys()].map((id) => this.#end(id)));
  }

  /** Without a pause: of many clients at once none slips past the limits. */
  #makeRoom(owner: string): void {
    this.sweep();
    const own = [...this.#sessions].filter(([, session]) => session.owner === owner);
    if (own.length >= this.#limits.perAccount) {
      const free = own.filter(([, { requests }]) => requests === 0).sort(([, a], [, b]) => a.usedAt - b.usedAt);
      const [oldest] = free;
      if (oldest === undefined) throw tooManySessions();
      void this.#end(oldest[0]);
    }
    if (this.#sessions.size >= this.#limits.total) throw tooManySessions();
  }

  async #end(id: string): Promise<void> {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    this.#sessions.delete(id);
    session.closed = true;
    await session.transport
      .close()
      .catch((error: unknown) => this.#log.warn({ err: error }, 'mcp: a session could not be closed'));
  }
}
