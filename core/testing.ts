/** For tests of node types: runs a node in this process the way a worker thread would, with everything it says recorded. */

import { AppError } from './errors.ts';
import type { ProvidedService } from './host.ts';
import type { NodeContext, NodeDefinition } from './node.ts';
import { createCheck } from './node-check.ts';
import type { Static, TSchema } from './schema.ts';

export { type ProvidedService, provide } from './host.ts';

/** What a node said while it ran, in order. */
export interface NodeRecord {
  events: { type: string; data: Record<string, unknown> }[];
  logs: { level: 'debug' | 'info' | 'warn' | 'error'; message: string; data?: Record<string, unknown> }[];
  /** 0-1 each. */
  progress: number[];
}

export interface NodeRun<Output = unknown> extends NodeRecord {
  output: Output;
}

export interface RunNodeOptions {
  config?: Record<string, unknown>;
  /** Default `{}`. */
  input?: unknown;
  /** What `service(key)` finds, by the name of the key: `[provide(modelService, fake)]`. */
  services?: readonly ProvidedService[];
  /** Default: one that never fires. */
  signal?: AbortSignal;
  /** Default `run-1/node-1`. */
  idempotencyKey?: string;
  /** Default 1. */
  attempt?: number;
  run?: { id: string; tenantId: string };
  /** Filled while the node runs, so that it can be looked at when the node fails. */
  record?: NodeRecord;
}

export const createNodeRecord = (): NodeRecord => ({ events: [], logs: [], progress: [] });

/**
 * Runs one attempt of a node in this process. Config and input are checked and get their defaults, output is checked, and all
 * three are copied as on the way to and from a worker thread; there is no deadline.
 *
 * @param node a definition, or the file that has one as default export
 * @throws {AppError} NODE_CONFIG_INVALID, NODE_INPUT_INVALID, NODE_OUTPUT_INVALID with the wrong fields, SERVICE_NOT_AVAILABLE; or what
 *   the node threw
 */
export function runNode<O extends TSchema>(
  node: NodeDefinition<TSchema, TSchema, O>,
  options?: RunNodeOptions,
): Promise<NodeRun<Static<O>>>;
export function runNode<Output = unknown>(node: URL | string, options?: RunNodeOptions): Promise<NodeRun<Output>>;
export async function runNode(node: NodeDefinition | URL | string, options: RunNodeOptions = {}): Promise<NodeRun> {
  const definition = typeof node === 'object' && 'run' in node ? node : await load(node);
  const { type } = definition;
  const { services = [], record = createNodeRecord(), signal = new AbortController().signal } = options;
  const context: NodeContext = {
    config: createCheck('CONFIG', type, definition.config)(structuredClone(options.config ?? {})),
    input: createCheck(
      'INPUT',
      type,
      definition.input,
    )(structuredClone(options.input === undefined ? {} : options.input)),
    signal,
    idempotencyKey: options.idempotencyKey ?? 'run-1/node-1',
    attempt: options.attempt ?? 1,
    run: options.run ?? { id: 'run-1', tenantId: 'tenant-1' },
    report: (fraction) => void record.progress.push(Math.min(1, Math.max(0, fraction))),
    emit: (name, data) => void record.events.push({ type: name, data: asJson(data) }),
    room: () => undefined,
    log: (level, message, data) => void record.logs.push({ level, message, ...(data && { data: asJson(data) }) }),
    service: <T>(key: { readonly name: string }): T => {
      const found = services.find((one) => one.key.name === key.name);
      if (found === undefined) throw missing(key.name);
      return found.service as T;
    },
  };
  signal.throwIfAborted();
  const output = createCheck('OUTPUT', type, definition.output)(await definition.run(context));
  return { ...record, output: structuredClone(output) };
}

async function load(file: URL | string): Promise<NodeDefinition> {
  const { default: definition } = (await import(String(file))) as { default?: unknown };
  if (typeof definition !== 'object' || definition === null || !('run' in definition)) {
    throw new TypeError(`${file} has no node (see defineNode) as its default export`);
  }
  return definition as NodeDefinition;
}

/** Events and log data cross the thread as JSON. */
const asJson = (data: Record<string, unknown>): Record<string, unknown> => JSON.parse(JSON.stringify(data));

const missing = (name: string) =>
  new AppError(
    'unavailable',
    'SERVICE_NOT_AVAILABLE',
    { zh: `节点无法使用服务 ${name}`, en: `Service ${name} is not available to nodes` },
    { details: { service: name } },
  );
