import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { calculateObjectSize } from 'bson';
import type { Doc } from './bson.ts';
import { runCommand } from './commands/index.ts';
import type { Engine } from './engine.ts';
import { CommandError, sqliteCode, toCommandError } from './errors.ts';
import { buildReply, Framer, type Message, parseMessage } from './wire.ts';

interface Waiting {
  send(failure?: CommandError): void;
}

const maxUnsentBytes = 128 * 1024 * 1024;

/**
 * Serves the wire protocol. All writes of one turn of the event loop share a transaction; no answer leaves before it is
 * on disk, also answers to reads, which may have seen what is not yet committed.
 */
export class StoreServer {
  readonly #engine: Engine;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #waiting: Waiting[] = [];
  #commitSet: NodeJS.Immediate | undefined;
  #running = 0;
  #idle: (() => void) | undefined;
  #closing = false;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#server = createServer((socket) => this.#accept(socket));
    engine.database.onBegin(() => {
      this.#commitSet ??= setImmediate(() => this.commit());
    });
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async listen(path: string): Promise<void> {
    rmSync(path, { force: true }); // left by a process that was killed; the lock says that nobody serves it
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => resolve());
    });
    chmodSync(path, 0o600);
  }

  /** Lets running commands end, commits and closes all connections. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    this.#server.close();
    if (this.#running > 0) {
      await Promise.race([
        new Promise<void>((resolve) => (this.#idle = resolve)),
        new Promise<void>((resolve) => setTimeout(resolve, graceMs).unref()),
      ]);
    }
    this.commit();
    for (const socket of this.#sockets) socket.end();
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Commits what is open and lets the answers go. */
  commit(): void {
    if (this.#commitSet) clearImmediate(this.#commitSet);
    this.#commitSet = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (this.#engine.database.inTransaction) {
      try {
        this.#engine.database.commit();
      } catch (error) {
        this.#rollback(error, waiting);
        return;
      }
    }
    for (const { send } of waiting) send();
  }

  #rollback(error: unknown, waiting: Waiting[]): void {
    const failure = toCommandError(error);
    try {
      this.#engine.database.rollback();
    } finally {
      for (const { send } of waiting) send(failure);
    }
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    const framer = new Framer();
    let queue: Promise<void> | undefined;
    let queued = 0;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      let messages: Message[];
      try {
        messages = framer.push(chunk).map(parseMessage);
      } catch {
        socket.destroy(); // not the protocol: nothing can be answered
        return;
      }
      for (const message of messages) {
        queued++;
        if (queued > 100) socket.pause(); // a client that does not wait for answers
        const run = async (): Promise<void> => {
          await this.#handle(socket, message);
          queued--;
          if (queued < 50) socket.resume();
        };
        // One after another; without a predecessor at once, so that commands of one turn share a commit.
        queue = queue ? queue.then(run) : run();
        const mine = queue;
        queue.then(
          () => {
            if (queue === mine) queue = undefined;
          },
          () => socket.destroy(), // an answer that cannot be built
        );
      }
    });
  }

  async #handle(socket: Socket, message: Message): Promise<void> {
    if (this.#closing) return;
    this.#running++;
    let answer: Buffer[];
    const { rollbacks } = this.#engine.database;
    try {
      const reply = await runCommand(this.#engine, message.parse());
      reply.ok = 1;
      if (this.#engine.database.rollbacks !== rollbacks) {
        throw new CommandError(14031, 'The storage failed during the operation: some of its writes may not be stored.');
      }
      answer = buildReply(reply, message); // here, because an answer may be too large
    } catch (error) {
      // After an error of the storage the transaction cannot be trusted: the whole group is taken back.
      if (this.#engine.database.inTransaction && sqliteCode(error) !== undefined) {
        const waiting = this.#waiting;
        this.#waiting = [];
        this.#rollback(error, waiting);
      }
      answer = buildReply(errorReply(toCommandError(error)), message);
    }
    this.#running--;
    if (this.#running === 0) this.#idle?.();
    const send = (failure?: CommandError): void => {
      if (message.silent || socket.destroyed) return;
      socket.cork();
      for (const part of failure ? buildReply(errorReply(failure), message) : answer) socket.write(part);
      socket.uncork();
      if (socket.writableLength > maxUnsentBytes) socket.destroy(); // a client that does not read
    };
    if (this.#engine.database.inTransaction) this.#waiting.push({ send });
    else send();
  }
}

const maxErrorText = 8192;

/** An error may quote what the client sent, which may be large; the answer stays small. */
function errorReply({ code, codeName, message, extra }: CommandError): Doc {
  const reply = { ok: 0, errmsg: message.slice(0, maxErrorText), code, codeName };
  const whole = { ...reply, ...extra };
  try {
    return calculateObjectSize(whole) <= 1024 * 1024 ? whole : reply;
  } catch (error) {
    if (error instanceof Error) return reply;
    throw error;
  }
}
