import { createLogger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import type { NodeRun, RunNodeOptions } from '../../core/testing.ts';
import { createNodeRecord } from '../../core/testing.ts';
import { createPool, type LocalService, type Pool } from '../../runtime/pool/index.ts';

export interface RunNodeInPoolOptions extends Omit<RunNodeOptions, 'services'> {
  /** Services that the thread makes for itself. */
  local?: readonly LocalService[];
  /** Services of this thread by the name of their key; methods get `HostCaller` first. */
  host?: ReadonlyMap<string, object>;
  /** Default: the node's own. */
  timeoutMs?: number;
  principal?: Principal;
  /** A pool that is there already; it is left open. */
  pool?: Pool;
}

const PRINCIPAL: Principal = { kind: 'user', accountId: 'account-1', tenantId: 'tenant-1', roles: ['user'] };

/**
 * Runs one attempt of a node in a real lane, with threads, deadline and all.
 *
 * @param node the file that has the node as default export
 * @throws {AppError} everything that `Pool.run` throws
 */
export async function runNodeInPool<Output = unknown>(
  node: URL | string,
  options: RunNodeInPoolOptions = {},
): Promise<NodeRun<Output>> {
  const { record = createNodeRecord(), run = { id: 'run-1', tenantId: 'tenant-1' }, signal, timeoutMs } = options;
  const pool = options.pool ?? (await openPool(options));
  try {
    await pool.addNodes([node]);
    const { default: definition } = (await import(String(node))) as { default: { type: string; version: number } };
    const output = await pool.run(
      {
        type: definition.type,
        version: definition.version,
        ...(options.config && { config: options.config }),
        input: options.input === undefined ? {} : options.input,
        run,
        principal: options.principal ?? PRINCIPAL,
        idempotencyKey: options.idempotencyKey ?? 'run-1/node-1',
        attempt: options.attempt ?? 1,
        ...(timeoutMs !== undefined && { timeoutMs }),
      },
      {
        onEvent: (type, data) => void record.events.push({ type, data }),
        onLog: (level, message, data) => void record.logs.push({ level, message, ...(data && { data }) }),
        onProgress: (fraction) => void record.progress.push(fraction),
      },
      signal,
    );
    return { ...record, output: output as Output };
  } finally {
    if (options.pool === undefined) await pool.close({ graceMs: 0 });
  }
}

const openPool = ({ local, host }: RunNodeInPoolOptions) =>
  createPool({
    log: createLogger('fatal'),
    shared: { threads: 1 },
    isolated: { threads: 1 },
    ...(local && { local }),
    ...(host && { host }),
  });
