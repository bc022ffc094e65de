import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { AppError } from '../../core/errors.ts';
import type { WorkerMessage, WorkerRequest, WorkerSettings } from './worker.ts';

export type SupervisorSettings = Omit<WorkerSettings, 'cells' | 'refusedPatterns'> & {
  /** Time a regular expression may run before the worker is restarted. */
  regexLimitMs: number;
};

/** The worker could not open the folder. */
export class OpenFailure extends Error {
  readonly locked: boolean;

  constructor(message: string, locked: boolean) {
    super(message);
    this.locked = locked;
  }
}

type Call = { type: 'close' } | { type: 'stats' } | { type: 'backup'; file: string };

const maxPatterns = 10_000;
const failed = (reason: string) =>
  new AppError('internal', 'STORE_FAILED', {
    zh: `内嵌存储出错：${reason}`,
    en: `The embedded store failed: ${reason}`,
  });

/**
 * Keeps the worker of a store running. It is restarted when it dies, and when a regular expression of a query runs
 * longer than the limit (regex.ts); that pattern is refused from then on. Clients see a lost connection and connect again.
 * Nothing acknowledged is lost: a restart is no more than a kill of the process.
 */
export class Supervisor {
  readonly #settings: SupervisorSettings;
  readonly #cells = new SharedArrayBuffer(8);
  readonly #watch = new Int32Array(this.#cells);
  readonly #patterns = new Map<number, string>();
  readonly #refused: string[] = [];
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #worker: Worker | undefined;
  #starting: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #lastCall = 0;
  #closed = false;
  restarts = 0;

  constructor(settings: SupervisorSettings) {
    this.#settings = settings;
  }

  /** @throws {OpenFailure} */
  async start(): Promise<void> {
    await this.#spawn();
    let [id, count, since] = [0, 0, 0];
    this.#timer = setInterval(() => {
      const [nowId, nowCount] = [Atomics.load(this.#watch, 0), Atomics.load(this.#watch, 1)];
      if (nowId === 0 || nowId !== id || nowCount !== count) [id, count, since] = [nowId, nowCount, performance.now()];
      else if (performance.now() - since > this.#settings.regexLimitMs) {
        const pattern = this.#patterns.get(id);
        if (pattern !== undefined) this.#refused.push(pattern);
        if (this.#refused.length > 1000) this.#refused.shift();
        Atomics.store(this.#watch, 0, 0);
        void this.#worker?.terminate(); // its exit starts the next one
      }
    }, this.#settings.regexLimitMs / 4);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#starting;
    this.#closed = true;
    clearInterval(this.#timer);
    try {
      await this.#send({ type: 'close' });
    } finally {
      await this.#worker?.terminate();
    }
  }

  async call(request: Call): Promise<unknown> {
    await this.#starting;
    if (this.#closed) throw failed('it is closed');
    return this.#send(request);
  }

  #send(request: Call): Promise<unknown> {
    const id = ++this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#worker?.postMessage({ ...request, id } satisfies WorkerRequest);
    });
  }

  async #spawn(): Promise<void> {
    const { regexLimitMs: _limit, ...settings } = this.#settings;
    const workerData: WorkerSettings = { ...settings, cells: this.#cells, refusedPatterns: this.#refused };
    // Without the flags of the main thread: some of them (--input-type) are not for workers.
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData,
      name: 'koagent-store',
      execArgv: [],
    });
    let reason = 'the worker ended';
    let ready = false;
    worker.on('error', (error) => {
      reason = error.message;
    });
    const started = new Promise<void>((resolve, reject) => {
      worker.on('message', (message: WorkerMessage) => {
        if (message.type === 'ready') {
          ready = true;
          resolve();
        } else if (message.type === 'failed') reject(new OpenFailure(message.message, message.locked));
        else if (message.type === 'pattern') this.#remember(message.id, message.pattern);
        else this.#settle(message);
      });
      worker.once('exit', () => {
        reject(new OpenFailure(reason, false));
        this.#abandon(reason);
        if (ready && !this.#closed && worker === this.#worker) this.#restart(reason);
      });
    });
    this.#worker = worker;
    try {
      await started;
    } catch (error) {
      await worker.terminate();
      throw error;
    }
  }

  /** The files of a worker that was ended are let go a moment after its end. */
  async #spawnAgain(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#spawn();
        return;
      } catch (error) {
        if (!(error instanceof OpenFailure && error.locked) || attempt === 50) throw error;
        await delay(100);
      }
    }
  }

  #restart(reason: string): void {
    this.restarts++;
    this.#patterns.clear();
    process.emitWarning(`The embedded store was restarted: ${reason}`);
    this.#starting = this.#spawnAgain();
    this.#starting.catch((error: unknown) => {
      // Nobody may be waiting for it just now; the next call meets the rejection.
      process.emitWarning(
        `The embedded store could not be restarted: ${error instanceof Error ? error.message : error}`,
      );
    });
  }

  #settle({ id, value, error }: WorkerMessage & { type: 'answer' }): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(failed(error));
  }

  #abandon(reason: string): void {
    for (const { reject } of this.#calls.values()) reject(failed(reason));
    this.#calls.clear();
  }

  #remember(id: number, pattern: string): void {
    this.#patterns.set(id, pattern);
    const [oldest] = this.#patterns.keys();
    if (this.#patterns.size > maxPatterns && oldest !== undefined) this.#patterns.delete(oldest);
  }
}
