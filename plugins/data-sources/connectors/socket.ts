import { connect, type Socket } from 'node:net';
import type { AddressPolicy } from '../../../core/outbound/addresses.ts';

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
