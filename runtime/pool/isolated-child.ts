import { fork } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { compileCacheEnv } from './compile-cache.ts';
import type { CutOffReason } from './errors.ts';
import { IpcLink } from './ipc-link.ts';
import type { Packed } from './pack.ts';
import type { LogSink, ToChild, ToParent } from './protocol.ts';

const ENTRY = fileURLToPath(new URL('./process-entry.ts', import.meta.url));
const START_MS = 30_000;
/** What the child had sent before it died is still read, for at most this long. */
const LAST_WORDS_MS = 500;
const MAX_OUTPUT_CHARS = 2000;

/** A running child process of the isolated lane. */
export interface IsolatedChild {
  readonly pid: number | undefined;
  readonly connected: boolean;
  /** Rejects when the child ends before it is ready. */
  readonly ready: Promise<void>;
  /** Why the parent killed it; undefined when it died by itself. */
  readonly killed: { reason: CutOffReason; cause: string } | undefined;
  send(message: ToChild, packed?: Packed[]): Promise<void>;
  kill(reason: CutOffReason, cause: string): void;
  /** Lets this process end while the child has no tasks. */
  unref(): void;
  ref(): void;
}

export interface IsolatedChildOptions {
  init: Omit<Extract<ToChild, { t: 'init' }>, 't'>;
  env: Record<string, string>;
  log: LogSink;
  onMessage(message: ToParent, packed: Packed[]): void;
  /** Called once, after the last message. `cause`: exit code, signal or the error of the start. */
  onExit(cause: string): void;
}

export function startIsolatedChild({ init, env, log, onMessage, onExit }: IsolatedChildOptions): IsolatedChild {
  const ready = Promise.withResolvers<void>();
  // Its users see the rejection; when there are none left it must not count as unhandled.
  ready.promise.catch(() => undefined);
  let killed: IsolatedChild['killed'];
  let over = false;

  const forked = fork(ENTRY, [], {
    serialization: 'advanced',
    env: { ...compileCacheEnv(), ...env },
    // Debugger and test flags of this process are not the child's business.
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const kill = (reason: CutOffReason, cause: string) => {
    killed ??= { reason, cause };
    forked.kill('SIGKILL');
  };
  const link = new IpcLink<ToChild, ToParent>(
    (frame, callback) => {
      if (!forked.connected) return callback(new Error('The process is gone'));
      forked.send(frame as never, callback);
    },
    (message, packed) => {
      if (message.t === 'ready') ready.resolve();
      onMessage(message, packed);
    },
  );
  const end = (cause: string) => {
    if (over) return;
    over = true;
    clearTimeout(startTimer);
    ready.reject(new Error(cause));
    onExit(cause);
  };
  const startTimer = setTimeout(() => kill('start', `not ready after ${START_MS} ms`), START_MS);
  ready.promise.then(
    () => clearTimeout(startTimer),
    () => undefined,
  );

  forked.on('message', (frame) => {
    try {
      link.receive(frame);
    } catch (error) {
      kill('process', `protocol error: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
  forked.on('error', (error) => {
    // The start failed, or a message could not be sent; only the first means that there is no process.
    if (forked.pid === undefined) end(error.message);
    else log('warn', 'The channel to the isolated process failed', { reason: error.message });
  });
  forked.on('exit', (code, signal) => {
    const cause = killed?.cause ?? (signal === null ? `exit code ${code}` : `signal ${signal}`);
    if (!forked.connected) return end(cause);
    const timer = setTimeout(() => end(cause), LAST_WORDS_MS);
    forked.once('disconnect', () => {
      clearTimeout(timer);
      end(cause);
    });
  });
  logOutput(forked.stdout, (text) => log('info', text, { from: 'isolated process' }));
  logOutput(forked.stderr, (text) => log('warn', text, { from: 'isolated process' }));
  link.send({ t: 'init', ...init }).catch((error) => kill('start', String(error)));

  return {
    get pid() {
      return forked.pid;
    },
    get connected() {
      return forked.connected;
    },
    get killed() {
      return killed;
    },
    ready: ready.promise,
    send: (message, packed) => link.send(message, packed),
    kill,
    ref: () => {
      forked.ref();
      forked.channel?.ref();
    },
    unref: () => {
      forked.unref();
      forked.channel?.unref();
    },
  };
}

/** In pieces as they come, not in lines: a line may be endless. */
function logOutput(stream: Readable | null, log: (text: string) => void): void {
  stream?.setEncoding('utf8').on('data', (text: string) => log(text.trimEnd().slice(0, MAX_OUTPUT_CHARS)));
}
