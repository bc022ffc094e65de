import type { ErrorRecord } from '../../../core/errors.ts';
import type { RunEventInput } from '../../../core/run-kind.ts';
import type { Step } from '../../../runtime/graph/index.ts';
import { type Frame, stepKey } from './frame.ts';

/**
 * The vocabulary of a workflow's event log. Logs, progress and streams are projections of it.
 *
 * | type | data |
 * |---|---|
 * | `execution_started` | `workflow_id, version, nodes` |
 * | `node_started` | `key, node_id, node_type, attempt` |
 * | `node_finished` | `key, node_id, node_type, duration_ms, branch?, reused?` |
 * | `node_failed` | `key, node_id, node_type, duration_ms, error` |
 * | `node_retrying` | `key, node_id, node_type, attempt, delay_ms, error` |
 * | `node_waiting` | `key, node_id, node_type, for: time or approval, until?, prompt?` |
 * | `node_skipped` | `key, node_id, node_type, reason` |
 * | `log` | `level, message {zh, en}, key?, node_id?, node_type?, data?` |
 * | `status` | `status, progress, current_node` |
 * | `execution_finished` | `status, cancelled?, error?` |
 *
 * What nodes emit themselves (`token`, ...) carries `key` and `node_id` as well.
 */
export const nodeData = (frame: Frame, step: { key: string; nodeId: string; type: string }) => ({
  key: stepKey(frame, step.key),
  node_id: frame.nodePrefix + step.nodeId,
  node_type: step.type,
});

export const started = (frame: Frame, step: Pick<Step, 'key' | 'nodeId' | 'type' | 'attempt'>): RunEventInput => ({
  type: 'node_started',
  data: { ...nodeData(frame, step), attempt: step.attempt },
});

export const finished = (
  frame: Frame,
  step: { key: string; nodeId: string; type: string },
  durationMs: number,
  branch?: string,
): RunEventInput => ({
  type: 'node_finished',
  data: { ...nodeData(frame, step), duration_ms: durationMs, ...(branch !== undefined && { branch }) },
});

export const failed = (
  frame: Frame,
  step: { key: string; nodeId: string; type: string },
  durationMs: number,
  error: ErrorRecord,
): RunEventInput => ({
  type: 'node_failed',
  data: { ...nodeData(frame, step), duration_ms: durationMs, error },
});

/** A warning for placeholders that found nothing; at most ten are named. */
export const unresolvedWarning = (
  frame: Frame,
  step: { key: string; nodeId: string; type: string },
  unresolved: readonly string[],
): RunEventInput[] => {
  if (unresolved.length === 0) return [];
  const names = [...new Set(unresolved)].slice(0, 10).map((name) => name.slice(0, 100));
  const listed = names.join('、');
  return [
    {
      type: 'log',
      data: {
        ...nodeData(frame, step),
        level: 'warn',
        message: { zh: `模板变量未找到：${listed}`, en: `Placeholders without a value: ${names.join(', ')}` },
        data: { unresolved: names },
      },
    },
  ];
};
