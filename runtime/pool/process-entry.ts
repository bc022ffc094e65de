import { fromWireError, toWireError } from './errors.ts';
import { IpcLink } from './ipc-link.ts';
import type { Packed } from './pack.ts';
import type { Lane, ToChild, ToParent } from './protocol.ts';
import { ThreadLane } from './thread-lane.ts';

/*
 * The isolated lane's child process: threads with one task each, and a relay between them and the parent. Node code never runs
 * in this thread, so it stays able to watch the memory and to end with its parent.
 */

const STATUS_MS = 100;

interface Task {
  controller: AbortController;
  /** Batches that the parent has not yet taken. */
  acks: (() => void)[];
  calls: Map<number, { resolve(value: Packed): void; reject(error: Error): void }>;
}

const tasks = new Map<number, Task>();
let lane: Lane | undefined;
let lastCall = 0;

/** Nobody is left to work for. SIGKILL, because threads in a busy loop would hold up an orderly exit. */
const die = () => process.kill(process.pid, 'SIGKILL');

const link = new IpcLink<ToParent, ToChild>((frame, callback) => {
  if (process.send === undefined) return die();
  process.send(frame, undefined, undefined, callback);
}, receive);
process.on('message', (frame) => link.receive(frame));
process.on('disconnect', die);

function receive(message: ToChild, packed: Packed[]): void {
  if (message.t === 'init') init(message);
  else if (message.t === 'run') void run(message, packed);
  else {
    const task = tasks.get(message.id);
    if (message.t === 'cancel') task?.controller.abort();
    else if (message.t === 'ack') task?.acks.shift()?.();
    else reply(task?.calls, message, packed[0]);
  }
}

function reply(
  calls: Task['calls'] | undefined,
  { call, error }: Extract<ToChild, { t: 'reply' }>,
  value: Packed = { value: undefined },
): void {
  const waiting = calls?.get(call);
  calls?.delete(call);
  if (error === undefined) waiting?.resolve(value);
  else waiting?.reject(fromWireError(error));
}

function init({ threads, cancelGraceMs, memoryMb, local }: Extract<ToChild, { t: 'init' }>): void {
  lane = new ThreadLane({
    name: 'isolated',
    threads,
    tasksPerThread: 1,
    maxQueue: Number.POSITIVE_INFINITY,
    cancelGraceMs,
    deadlineGraceMs: 0,
    env: {},
    local,
    // Whoever computes for long must not take the processor from those that answer requests.
    niceness: 10,
    // Ends a thread with many small objects; a single large allocation is caught by the watch below or takes the process.
    resourceLimits: { maxOldGenerationSizeMb: memoryMb, maxYoungGenerationSizeMb: 64 },
    log: (level, message, data) => void link.send({ t: 'log', level, message, ...(data && { data }) }),
  });
  setInterval(() => {
    if (tasks.size === 0) return;
    const rssMb = Math.round(process.memoryUsage.rss() / 1024 / 1024);
    if (rssMb <= memoryMb) void link.send({ t: 'status', rssMb, threads: lane?.stats().threads ?? 0 });
    // The parent kills; if it is busy, this process does so itself before it takes the machine's memory.
    else void link.send({ t: 'memory', rssMb }).finally(die);
  }, STATUS_MS);
  void link.send({ t: 'ready' });
}

async function run({ id, task }: Extract<ToChild, { t: 'run' }>, [config, input]: Packed[]): Promise<void> {
  const own: Task = { controller: new AbortController(), acks: [], calls: new Map() };
  tasks.set(id, own);
  try {
    if (lane === undefined || config === undefined || input === undefined) throw new Error('The process is not set up');
    const value = await lane.run(
      { ...task, config, input },
      {
        batch: (text) => {
          void link.send({ t: 'batch', id, text });
          return new Promise((resolve) => own.acks.push(resolve));
        },
        call: ({ service, method, args }) => {
          const call = ++lastCall;
          void link.send({ t: 'call', id, call, service, method }, [args]);
          return new Promise((resolve, reject) => own.calls.set(call, { resolve, reject }));
        },
      },
      own.controller.signal,
    );
    await link.send({ t: 'end', id }, [value]);
  } catch (error) {
    await link.send({ t: 'end', id, error: toWireError(error) });
  } finally {
    tasks.delete(id);
  }
}
