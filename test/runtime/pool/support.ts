import type { TestContext } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { createPool, type Pool, type PoolHooks, type PoolOptions, type PoolTask } from '../../../runtime/pool/index.ts';

export type LaneName = 'shared' | 'isolated';

export const fixture = (path: string) => new URL(`../../fixtures/${path}`, import.meta.url);

export const principal: Principal = { kind: 'user', accountId: 'account-1', tenantId: 'tenant-1', roles: ['user'] };

const nodes = ['echo', 'echo-isolated', 'act', 'act-isolated'].map((name) => fixture(`nodes/${name}.ts`));

/** A pool with the fixture nodes; given a test it is closed after it. */
export async function startPool(
  t?: TestContext,
  options: Partial<PoolOptions> = {},
): Promise<Pool & { lines: string[] }> {
  const lines: string[] = [];
  const log = createLogger('debug', { write: (line) => void lines.push(line) });
  const pool = await createPool({
    log,
    nodes,
    local: [{ key: 'test-local', module: fixture('services/local.ts').href, options: { factor: 2 } }],
    ...options,
    shared: { threads: 1, graceMs: 400, ...options.shared },
    isolated: { threads: 1, graceMs: 400, ...options.isolated },
  });
  t?.after(() => pool.close({ graceMs: 0 }));
  return Object.assign(pool, { lines });
}

let lastKey = 0;

export const task = (type: string, config: PoolTask['config'], input: unknown = {}, extra: Partial<PoolTask> = {}) => ({
  type,
  ...(config && { config }),
  input,
  run: { id: 'run-1', tenantId: 'tenant-1' },
  principal,
  idempotencyKey: `key-${++lastKey}`,
  attempt: 1,
  ...extra,
});

export const actType = (lane: LaneName) => (lane === 'shared' ? 'test.act' : 'test.act-isolated');
export const echoType = (lane: LaneName) => (lane === 'shared' ? 'test.echo' : 'test.echo-isolated');

/** What a task ended with: its error, or a failure of the test when there was none. */
export async function failure(promise: Promise<unknown>): Promise<AppError> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in outcome) throw new Error(`Expected a failure, got ${JSON.stringify(outcome.value)?.slice(0, 200)}`);
  if (!(outcome.error instanceof AppError)) throw outcome.error;
  return outcome.error;
}

/** Hooks that tell when the node has said that it started. */
export function untilStarted(hooks: PoolHooks = {}): { started: Promise<void>; hooks: PoolHooks } {
  const { promise: started, resolve } = Promise.withResolvers<void>();
  return {
    started,
    hooks: {
      ...hooks,
      onEvent: (type, data) => {
        if (type === 'started') resolve();
        return hooks.onEvent?.(type, data);
      },
    },
  };
}
