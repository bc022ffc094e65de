import type { Principal } from '../../core/principal.ts';
import type { ServiceKey } from '../../core/service.ts';
import { serviceCallInvalid, serviceNotAvailable } from './errors.ts';
import { type Packed, pack, unpack } from './pack.ts';
import type { ServiceCall } from './protocol.ts';

/** First argument of every host method that a node calls: for whom it acts. */
export interface HostCaller {
  /** The run's id. */
  readonly id: string;
  readonly tenantId: string;
  readonly principal: Principal;
  /** Fires when the task is cancelled or over: nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** The services of this thread that nodes may call, by the name of their key. */
export class HostServices {
  readonly #services: Map<string, object>;

  constructor(services: Iterable<readonly [string, object]> = []) {
    this.#services = new Map(services);
  }

  get names(): string[] {
    return [...this.#services.keys()];
  }

  expose(key: ServiceKey<unknown> | string, service: object): void {
    this.#services.set(typeof key === 'string' ? key : key.name, service);
  }

  /** The calls of one task; `end` when it is over. */
  callsOf(who: Omit<HostCaller, 'signal'>, signal?: AbortSignal) {
    // Only a task that calls the host pays for a signal.
    let over: AbortController | undefined;
    let caller: HostCaller | undefined;
    return {
      call: (call: ServiceCall): Promise<Packed> => {
        over ??= new AbortController();
        caller ??= { ...who, signal: signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]) };
        return this.#call(caller, call);
      },
      end: () => over?.abort(),
    };
  }

  /** @throws {AppError} SERVICE_NOT_AVAILABLE, SERVICE_CALL_INVALID, or what the method threw */
  async #call(caller: HostCaller, { service: name, method: methodName, args }: ServiceCall): Promise<Packed> {
    const service = this.#services.get(name);
    if (service === undefined) throw serviceNotAvailable(name);
    const hidden = methodName.startsWith('_') || methodName in Object.prototype;
    const method = hidden ? undefined : Reflect.get(service, methodName);
    if (typeof method !== 'function') throw serviceNotAvailable(name, methodName);
    const result: unknown = await method.call(service, caller, ...(unpack(args) as unknown[]));
    try {
      return pack(result);
    } catch (error) {
      throw serviceCallInvalid(name, methodName, error);
    }
  }
}
