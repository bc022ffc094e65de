import type { MessagePort } from 'node:worker_threads';
import type { ServiceKey } from '../../core/service.ts';
import { fromWireError, serviceCallInvalid, serviceCallsFull, serviceNotAvailable } from './errors.ts';
import { buffersOf, pack, unpack } from './pack.ts';
import type { LocalService, Outcome, ToHost } from './protocol.ts';

/** Calls of host services that one task may have under way. */
const MAX_CALLS = 256;

/** Makes the local services of the thread; one that cannot be made is missing, and `report` learns why. */
export async function loadLocalServices(
  local: readonly LocalService[],
  report: (key: string, error: unknown) => void,
): Promise<ReadonlyMap<string, unknown>> {
  const services = new Map<string, unknown>();
  for (const { key, module, options } of local) {
    try {
      const { default: create } = await import(module);
      services.set(key, await create(options));
    } catch (error) {
      report(key, error);
    }
  }
  return services;
}

/** The services of one task: those of the thread, and proxies to those of the host. */
export class TaskServices {
  readonly #port: MessagePort;
  readonly #local: ReadonlyMap<string, unknown>;
  readonly #exposed: readonly string[];
  readonly #beforeCall: () => void;
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  #lastId = 0;
  #ended: unknown;

  /** @param beforeCall sends what the node has emitted: the host is to know it before it answers */
  constructor(
    port: MessagePort,
    local: ReadonlyMap<string, unknown>,
    exposed: readonly string[],
    beforeCall: () => void,
  ) {
    this.#port = port;
    this.#local = local;
    this.#exposed = exposed;
    this.#beforeCall = beforeCall;
  }

  /** @throws {AppError} SERVICE_NOT_AVAILABLE */
  get<T>(key: ServiceKey<T>): T {
    if (this.#local.has(key.name)) return this.#local.get(key.name) as T;
    if (!this.#exposed.includes(key.name)) throw serviceNotAvailable(key.name);
    return new Proxy(
      {},
      {
        // Without this an awaited proxy would look like a promise and call `then` on the host.
        get: (_target, method) =>
          typeof method !== 'string' || method === 'then'
            ? undefined
            : (...args: unknown[]) => this.#call(key.name, method, args),
      },
    ) as T;
  }

  reply(id: number, result: Outcome): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    if (result.ok) call.resolve(unpack(result.value));
    else call.reject(fromWireError(result.error));
  }

  /** Fails the calls under way and all later ones: nobody answers them any more. */
  end(reason: unknown): void {
    this.#ended = reason;
    for (const { reject } of this.#calls.values()) reject(reason);
    this.#calls.clear();
  }

  #call(service: string, method: string, args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      if (this.#calls.size >= MAX_CALLS) return reject(serviceCallsFull(MAX_CALLS));
      const id = ++this.#lastId;
      try {
        const packed = pack(args);
        this.#beforeCall();
        this.#port.postMessage(
          { t: 'call', id, call: { service, method, args: packed } } satisfies ToHost,
          buffersOf(packed),
        );
      } catch (error) {
        return reject(serviceCallInvalid(service, method, error));
      }
      this.#calls.set(id, { resolve, reject });
    });
  }
}
