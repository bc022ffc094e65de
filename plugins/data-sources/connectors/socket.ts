import { connect, type Socket } from 'node:net';
import type { AddressPolicy } from '../../../core/outbound/addresses.ts';
import { DataSourceError } from '../errors.ts';

/** A connection to a database, made only to addresses that the policy allows. @throws {AppError} OUTBOUND_REFUSED for a literal */
export function guardedConnect(host: string, port: number, addresses: AddressPolicy): Socket {
  addresses.checkHost(host);
  const socket = connect({
    host,
    port,
    lookup: addresses.lookup,
    autoSelectFamily: true,
    noDelay: true,
    keepAlive: true,
  });
  return socket;
}

/** What a server may send when it has not been asked for rows: greetings, settings, notices, the answers of our own statements. */
const UNASKED_BYTES = 1024 * 1024;
const LOOK_MS = 20;

/**
 * Cuts a connection that brings more than a server has to say while nobody asks it for rows; drivers keep whatever belongs to one
 * message, however long it claims to be. Works below TLS as well.
 */
export class Unasked {
  readonly #socket: Socket;
  #from = 0;
  #limit = UNASKED_BYTES;
  exceeded = false;

  /** @param cut ends the connection for its driver */
  constructor(socket: Socket, cut: () => void) {
    this.#socket = socket;
    const timer = setInterval(() => {
      if (socket.bytesRead - this.#from <= this.#limit) return;
      this.exceeded = true;
      clearInterval(timer);
      socket.destroy();
      cut();
    }, LOOK_MS).unref();
    socket.once('close', () => clearInterval(timer));
  }

  /** Begins to count again, with room for an answer of so many bytes. */
  allow(bytes = 0): void {
    this.#from = this.#socket.bytesRead;
    this.#limit = bytes + UNASKED_BYTES;
  }
}

export const strangeAnswer = (host: string, port: number): DataSourceError =>
  new DataSourceError('answer', {
    zh: `${host}:${port} 的回应不像数据库，连接已断开`,
    en: `${host}:${port} does not answer like a database; the connection was cut`,
  });

/**
 * Does work that reads from a connection, and cuts the connection when it brings more than `limit` bytes: drivers take a whole row
 * into memory before anybody can look at it.
 *
 * @param tooMany cuts the connection and makes the error to throw
 */
export async function withByteLimit<T>(
  stream: Pick<Socket, 'on' | 'off'>,
  limit: number,
  tooMany: () => Error,
  work: () => Promise<T>,
): Promise<T> {
  let bytes = 0;
  let count: (chunk: Buffer) => void = () => undefined;
  const exceeded = new Promise<never>((_resolve, reject) => {
    count = (chunk) => {
      bytes += chunk.length;
      if (bytes <= limit) return;
      stream.off('data', count);
      reject(tooMany());
    };
  });
  stream.on('data', count);
  try {
    // What a driver does with an answer that is cut off by ourselves differs; nobody waits for it.
    return await Promise.race([work(), exceeded]);
  } finally {
    stream.off('data', count);
  }
}
