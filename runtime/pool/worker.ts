import { getPriority, setPriority } from 'node:os';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { NodeContext, NodeDefinition } from '../../core/node.ts';
import { createCheck } from '../../core/node-check.ts';
import { hideCompileCache, keepCompiled } from './compile-cache.ts';
import { fromWireError, nodeDataNotPlain, toWireError } from './errors.ts';
import { importNode } from './node-file.ts';
import { buffersOf, type Packed, pack, unpack } from './pack.ts';
import {
  BEAT_MS,
  type LaneTask,
  type Outcome,
  type ThreadData,
  type ThreadNotice,
  type ThreadTask,
  type ToNode,
} from './protocol.ts';
import { Outbox } from './worker-outbox.ts';
import { loadLocalServices, TaskServices } from './worker-services.ts';

/*
 * The thread's side of both lanes: Piscina calls the default export once per task. Everything of the task goes over its own
 * port; the promise given to Piscina only says when the thread has room again.
 */

const { beat, local, niceness } = workerData as ThreadData;
hideCompileCache();
if (niceness > 0) stepBack(niceness);
const beats = new Int32Array(beat);
// The first one says that the thread is up.
Atomics.add(beats, 0, 1);
setInterval(() => Atomics.add(beats, 0, 1), BEAT_MS).unref();

// A forgotten promise of one node must not take down the others of its thread. An uncaught exception still ends the thread.
process.on('unhandledRejection', (error) => notify('error', 'A node left a rejected promise unhandled', error));

/** On Linux this counts for the calling thread alone; elsewhere it may not be possible, and then nothing is lost but patience. */
function stepBack(by: number): void {
  try {
    setPriority(Math.min(19, getPriority() + by));
  } catch (error) {
    notify('debug', 'The priority of a thread could not be lowered', error);
  }
}

interface LoadedNode {
  definition: NodeDefinition;
  checkConfig(value: unknown): unknown;
  checkInput(value: unknown): unknown;
  checkOutput(value: unknown): unknown;
}

/** Nodes that have run once: what they import is in the cache of compiled code. */
const kept = new Set<string>();
const nodes = new Map<string, Promise<LoadedNode>>();
let localServices: Promise<ReadonlyMap<string, unknown>> | undefined;

export default async function runTask(work: ThreadTask): Promise<void> {
  if ('ready' in work) {
    const services = await loadLocal();
    await Promise.all([...work.ready.map(load), ...[...services.values()].map(makeReady)]);
    return;
  }
  const { task, port } = work;
  const controller = new AbortController();
  let services: TaskServices | undefined;
  const receive = (message: ToNode): void => {
    if (message.t === 'ack') outbox.acknowledged(message.size);
    else if (message.t === 'reply') services?.reply(message.id, message.result);
    else {
      const reason = fromWireError(message.error);
      controller.abort(reason);
      services?.end(reason);
    }
  };
  const outbox = new Outbox(port, receive, controller.signal);
  port.on('message', receive);
  try {
    const [node, atHand] = await Promise.all([load(task.node.url), loadLocal()]);
    controller.signal.throwIfAborted();
    services = new TaskServices(port, atHand, task.services, () => outbox.flush());
    const output = await run(node, task, controller.signal, outbox, services);
    outbox.flush();
    sendEnd(port, { ok: true, value: packOutput(output, task.node.type) }, task.node.type);
  } catch (error) {
    outbox.flush();
    sendEnd(port, { ok: false, error: toWireError(error) }, task.node.type);
  } finally {
    services?.end(new Error('The node has ended'));
    port.off('message', receive);
    if (!kept.has(task.node.url)) {
      kept.add(task.node.url);
      keepCompiled();
    }
  }
}

async function run(
  { definition, checkConfig, checkInput, checkOutput }: LoadedNode,
  task: LaneTask,
  signal: AbortSignal,
  outbox: Outbox,
  services: TaskServices,
): Promise<unknown> {
  const context: NodeContext = {
    config: checkConfig(unpack(task.config)),
    input: checkInput(unpack(task.input)),
    signal,
    idempotencyKey: task.idempotencyKey,
    attempt: task.attempt,
    run: task.run,
    report: (fraction) => outbox.progress(fraction),
    emit: (type, data) => outbox.push(['e', type, data]),
    room: () => outbox.room(),
    log: (level, message, data) =>
      outbox.push(data === undefined ? ['l', level, message] : ['l', level, message, data]),
    service: (key) => services.get(key),
  };
  return checkOutput(await definition.run(context));
}

function loadLocal(): Promise<ReadonlyMap<string, unknown>> {
  localServices ??= loadLocalServices(local, (key, error) =>
    notify('error', `Service ${key} cannot be made in the worker`, error),
  );
  return localServices;
}

async function makeReady(service: unknown): Promise<void> {
  const ready: unknown = typeof service === 'object' && service !== null ? Reflect.get(service, 'ready') : undefined;
  if (typeof ready === 'function') await ready.call(service);
}

function load(url: string): Promise<LoadedNode> {
  let node = nodes.get(url);
  if (node === undefined) {
    node = importNode(url).then((definition) => ({
      definition,
      checkConfig: createCheck('CONFIG', definition.type, definition.config),
      checkInput: createCheck('INPUT', definition.type, definition.input),
      checkOutput: createCheck('OUTPUT', definition.type, definition.output),
    }));
    nodes.set(url, node);
  }
  return node;
}

function packOutput(output: unknown, type: string): Packed {
  try {
    return pack(output);
  } catch (error) {
    throw nodeDataNotPlain('OUTPUT', type, error);
  }
}

function sendEnd(port: MessagePort, result: Outcome, type: string): void {
  try {
    port.postMessage({ t: 'end', result }, result.ok ? buffersOf(result.value) : []);
  } catch (error) {
    // Something in the details of an error, at the latest.
    port.postMessage({ t: 'end', result: { ok: false, error: toWireError(nodeDataNotPlain('OUTPUT', type, error)) } });
  }
}

function notify(level: ThreadNotice['level'], message: string, error: unknown): void {
  const data = { reason: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  parentPort?.postMessage({ koagent: 'log', level, message, data } satisfies ThreadNotice);
}
