import { DataSourceError, QueryCancelledError } from '../errors.ts';

/** A connection that does one thing at a time. */
export interface Session {
  /** It is of no more use: the other side has gone, or it was destroyed in the middle of an answer. */
  readonly broken: boolean;
  /** Says good-bye. */
  end(): Promise<void>;
  /** Cuts the connection. */
  destroy(): void;
}

export interface SessionsOptions<S> {
  open: (signal: AbortSignal) => Promise<S>;
  size: number;
  idleMs: number;
  /** Longest wait for a connection, whether it must be opened or becomes free. */
  waitMs: number;
  /** Callers that may wait. */
  queue: number;
}

type Waiter<S> = { take: (session: S) => void; opens: () => void };

/** The connections of one source: opened when needed, kept for a while, never more than `size`. */
export class Sessions<S extends Session> {
  readonly #options: SessionsOptions<S>;
  readonly #idle: { session: S; timer: NodeJS.Timeout }[] = [];
  readonly #busy = new Set<S>();
  readonly #waiting: Waiter<S>[] = [];
  /** Those that are being closed. */
  readonly #ending = new Set<Promise<void>>();
  #opening = 0;
  #closed = false;

  constructor(options: SessionsOptions<S>) {
    this.#options = options;
  }

  /** Open connections, idle ones among them. */
  get size(): number {
    return this.#idle.length + this.#busy.size + this.#opening;
  }

  /** @throws {DataSourceError} busy, timeout, or what `open` throws; {QueryCancelledError} */
  async acquire(signal?: AbortSignal): Promise<S> {
    if (signal?.aborted) throw new QueryCancelledError();
    if (this.#closed) throw gone();
    const deadline = AbortSignal.timeout(this.#options.waitMs);
    for (let kept = this.#idle.pop(); kept; kept = this.#idle.pop()) {
      clearTimeout(kept.timer);
      if (!kept.session.broken) return this.#lend(kept.session);
    }
    if (this.size < this.#options.size) return this.#open(signal, deadline);
    if (this.#waiting.length >= this.#options.queue) throw busy();
    return this.#wait(signal, deadline);
  }

  release(session: S): void {
    if (!this.#busy.delete(session)) return;
    if (session.broken || this.#closed) {
      this.#finish(session);
      this.#waiting.shift()?.opens();
      return;
    }
    const waiter = this.#waiting.shift();
    if (waiter) {
      waiter.take(this.#lend(session));
      return;
    }
    const timer = setTimeout(() => {
      const at = this.#idle.findIndex((kept) => kept.session === session);
      if (at >= 0) this.#idle.splice(at, 1);
      this.#finish(session);
    }, this.#options.idleMs);
    timer.unref();
    this.#idle.push({ session, timer });
  }

  /** Ends the idle ones; those at work are ended when they are released. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { session, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      this.#finish(session);
    }
    for (const waiter of this.#waiting.splice(0)) waiter.opens();
    await Promise.all(this.#ending);
  }

  #lend(session: S): S {
    this.#busy.add(session);
    return session;
  }

  #finish(session: S): void {
    if (session.broken) {
      session.destroy();
      return;
    }
    const ending = session.end().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  async #open(signal: AbortSignal | undefined, deadline: AbortSignal): Promise<S> {
    if (this.#closed) throw gone();
    this.#opening += 1;
    try {
      const session = await this.#options.open(signal === undefined ? deadline : AbortSignal.any([signal, deadline]));
      if (!this.#closed) return this.#lend(session);
      this.#finish(session);
      throw gone();
    } catch (error) {
      this.#waiting.shift()?.opens();
      if (signal?.aborted) throw new QueryCancelledError();
      throw deadline.aborted ? connectTimeout() : error;
    } finally {
      this.#opening -= 1;
    }
  }

  #wait(signal: AbortSignal | undefined, deadline: AbortSignal): Promise<S> {
    return new Promise<S>((resolve, reject) => {
      const give = () => {
        deadline.removeEventListener('abort', tooLate);
        signal?.removeEventListener('abort', cancelled);
        const at = this.#waiting.indexOf(waiter);
        if (at >= 0) this.#waiting.splice(at, 1);
      };
      const tooLate = () => {
        give();
        reject(busy());
      };
      const cancelled = () => {
        give();
        reject(new QueryCancelledError());
      };
      const waiter: Waiter<S> = {
        take(session) {
          give();
          resolve(session);
        },
        opens: () => {
          give();
          resolve(this.#open(signal, deadline));
        },
      };
      deadline.addEventListener('abort', tooLate);
      signal?.addEventListener('abort', cancelled);
      this.#waiting.push(waiter);
    });
  }
}

const busy = () =>
  new DataSourceError('busy', { zh: '数据源繁忙，请稍后再试', en: 'The data source is busy, try again later' });

export const connectTimeout = () =>
  new DataSourceError('timeout', {
    zh: '连接超时：数据源没有响应',
    en: 'Connecting timed out: the data source does not answer',
  });

const gone = () =>
  new DataSourceError('connection', { zh: '数据源的配置已变更，请重试', en: 'The data source was changed, try again' });
