import type { ErrorRecord } from '../../core/errors.ts';
import { defineRunKind, type RunContext, type RunKind, type RunOutcome } from '../../core/run-kind.ts';
import { DataBudget, type Outcome, outcomesBefore, type Plan } from '../../runtime/graph/index.ts';
import { Engine, type EngineParts, type ExecutionInput } from './engine/engine.ts';
import { ownerKey } from './engine/frame.ts';
import { outcomeOf, stepOf } from './engine/records.ts';
import { executionNotFound, serverDataTooLarge, workflowNotFound } from './errors.ts';
import type { Graphs } from './service/graphs.ts';
import type { NodeTypes } from './service/node-types.ts';
import { RUN_KIND, type WorkflowParts } from './service/parts.ts';

/** Executions of workflows. */
export function workflowRunKind(parts: WorkflowParts, graphs: Graphs, types: NodeTypes): RunKind {
  const engineParts: EngineParts = {
    options: parts.options,
    roof: new DataBudget(parts.options.allDataBytes, serverDataTooLarge),
    pooled: (type) => types.pooled(type),
    compiled: (tenantId, workflowId, version) => graphs.get({ tenantId }, workflowId, version),
    async newest({ principal }, workflowId) {
      const found = await parts.workflows
        .in(principal)
        .findOne(
          { _id: workflowId, ownerId: principal.accountId, deleted: { $exists: false } },
          { fields: ['version'] },
        );
      if (!found) throw workflowNotFound(workflowId);
      return found.version;
    },
    reused: (context, plan) => reusedOutcomes(parts, context, plan),
  };

  return defineRunKind<ExecutionInput, Record<string, unknown>>({
    kind: RUN_KIND,
    // It is gone from the history then.
    removable: true,
    execute: (context) => new Engine(context, engineParts).execute(),
    terminal: (outcome) => ({ type: 'execution_finished', data: terminalData(outcome) }),
  }) as unknown as RunKind;
}

function terminalData(outcome: RunOutcome<Record<string, unknown>>): Record<string, unknown> {
  if (outcome.status === 'succeeded') return { status: 'completed' };
  if (outcome.status === 'failed') return { status: 'failed', error: outcome.error };
  const error: ErrorRecord = {
    kind: 'cancelled',
    code: 'EXECUTION_CANCELLED',
    message: { zh: '执行已取消', en: 'The execution was cancelled' },
    details: { reason: outcome.reason },
  };
  return { status: 'failed', cancelled: true, error };
}

/** What an earlier execution has done before the node from which it is to be repeated. */
async function reusedOutcomes(
  { runs }: Pick<WorkflowParts, 'runs'>,
  { principal, input }: RunContext<ExecutionInput>,
  plan: Plan,
): Promise<Map<string, Outcome>> {
  const { executionId = '', fromNode } = input.reuse ?? {};
  const steps = await runs.steps(principal, executionId);
  if (!steps) throw executionNotFound();
  const outcomes = new Map<string, Outcome>();
  const inner = new Map<string, Outcome>();
  for (const stored of steps.keys) {
    const key = stepOf(stored);
    if (key === undefined) continue;
    (ownerKey(key) === key ? outcomes : inner).set(key, outcomeOf(stored, await steps.load(stored)));
  }
  const kept = fromNode === undefined ? outcomes : outcomesBefore(plan, fromNode, outcomes);
  for (const [key, outcome] of inner) if (kept.has(ownerKey(key))) kept.set(key, outcome);
  return kept;
}
