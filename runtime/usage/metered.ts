import { Value } from 'typebox/value';
import type { Logger } from '../../core/log.ts';
import { Type } from '../../core/schema.ts';
import type { NodeExecutor, NodeTask } from '../runs/executor.ts';
import type { UsageService } from './service.ts';

const tokens = () => Type.Number({ minimum: 0 });

/** Event `usage` of nodes that call a model. */
const usageEvent = Type.Object({
  model: Type.String({ minLength: 1 }),
  input_tokens: tokens(),
  output_tokens: tokens(),
  cached_tokens: Type.Optional(tokens()),
  estimated: Type.Optional(Type.Boolean()),
});

/**
 * An executor in front of another one: of nodes that call a model it checks the budget first and counts what their `usage` events say.
 * One that is repeated after a crash counts again, because its tokens were spent again.
 */
export function meteredExecutor(executor: NodeExecutor, usage: UsageService, log: Logger): NodeExecutor {
  const known = new Map<string, boolean>();

  const callsModel = ({ type, version }: NodeTask): boolean => {
    const key = `${type}@${version ?? ''}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const versions = executor.describe?.().filter((node) => node.type === type) ?? [];
    const node = version === undefined ? versions.at(-1) : versions.find((one) => one.version === version);
    // A type that is not there yet may come.
    if (node !== undefined) known.set(key, node.callsModel === true);
    return node?.callsModel === true;
  };

  return {
    ...(executor.describe && { describe: () => executor.describe?.() ?? [] }),

    async run(task, hooks, signal) {
      if (!callsModel(task)) return executor.run(task, hooks, signal);
      const { principal, run, type } = task;
      await usage.check(principal);
      return executor.run(
        task,
        {
          ...hooks,
          onEvent(name, data) {
            if (name === 'usage' && Value.Check(usageEvent, data)) {
              const counted = usage.record(principal, {
                runId: run.id,
                kind: run.kind,
                model: data.model,
                inputTokens: data.input_tokens,
                outputTokens: data.output_tokens,
                cachedTokens: data.cached_tokens ?? 0,
                estimated: data.estimated ?? false,
              });
              // Nobody waits for it, and an answer is not lost because it could not be counted.
              counted.catch((err: unknown) => log.error({ err, runId: run.id, data }, 'usage: not counted'));
            } else if (name === 'usage') log.warn({ type, data }, 'usage: an event of the wrong form was not counted');
            return hooks.onEvent?.(name, data);
          },
        },
        signal,
      );
    },
  };
}
