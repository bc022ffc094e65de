import type { ErrorRecord, LocalText } from '../../../core/errors.ts';
import type { RunEvent } from '../../../runtime/runs/service.ts';
import { nodeIdOf } from '../engine/frame.ts';
import { stepOf } from '../engine/records.ts';
import type { ExecutionLog, LogLevel, LogSummary } from '../public.ts';

interface Line {
  level: LogLevel;
  message: LocalText;
  data?: Record<string, unknown>;
  durationMs?: number;
}

type Data = Record<string, unknown>;
type Project = (data: Data) => Line;

const text = (value: unknown) => (typeof value === 'string' ? value : '');
const errorOf = (data: Data) => data.error as ErrorRecord | undefined;
const duration = (data: Data) => (typeof data.duration_ms === 'number' ? { durationMs: data.duration_ms } : {});

const SKIP_REASONS: Readonly<Record<string, LocalText>> = {
  branch_not_taken: { zh: '分支未选中', en: 'its branch was not taken' },
  predecessors_skipped: { zh: '前置节点均未执行', en: 'nothing before it was executed' },
  unreachable: { zh: '从开始节点无法到达', en: 'it cannot be reached from the start node' },
};

/** How events become log lines; events that are not named here are none. */
const LINES: Readonly<Record<string, Project>> = {
  execution_started: () => ({ level: 'info', message: { zh: '工作流开始执行', en: 'The execution has started' } }),
  node_started: ({ attempt }) => ({
    level: 'info',
    message:
      Number(attempt) > 1
        ? { zh: `节点开始执行（第 ${attempt} 次）`, en: `The node has started (attempt ${attempt})` }
        : { zh: '节点开始执行', en: 'The node has started' },
  }),
  node_finished: (data) => ({
    level: 'info',
    message: data.reused
      ? { zh: '沿用先前执行的结果', en: 'The output of an earlier execution is used' }
      : { zh: '节点执行完成', en: 'The node has finished' },
    ...(data.branch !== undefined && { data: { branch: data.branch } }),
    ...duration(data),
  }),
  node_failed: (data) => ({
    level: 'error',
    message: {
      zh: `节点执行失败：${errorOf(data)?.message.zh ?? ''}`,
      en: `The node has failed: ${errorOf(data)?.message.en ?? ''}`,
    },
    data: { error_code: errorOf(data)?.code },
    ...duration(data),
  }),
  node_retrying: ({ attempt, delay_ms, ...data }) => ({
    level: 'warn',
    message: {
      zh: `节点出错，${Number(delay_ms) / 1000} 秒后第 ${attempt} 次尝试：${errorOf(data)?.message.zh ?? ''}`,
      en: `The node failed, attempt ${attempt} in ${Number(delay_ms) / 1000} s: ${errorOf(data)?.message.en ?? ''}`,
    },
    data: { error_code: errorOf(data)?.code, attempt },
  }),
  node_waiting: (data) => ({
    level: 'info',
    message:
      data.for === 'approval'
        ? { zh: `等待审批 ${text(data.prompt)}`.trim(), en: `Waits for an approval ${text(data.prompt)}`.trim() }
        : { zh: `等待至 ${text(data.until)}`, en: `Waits until ${text(data.until)}` },
    ...(data.until !== undefined && { data: { until: data.until } }),
  }),
  node_skipped: ({ reason }) => {
    const why = SKIP_REASONS[text(reason)] ?? { zh: text(reason), en: text(reason) };
    return { level: 'debug', message: { zh: `节点已跳过：${why.zh}`, en: `The node was skipped: ${why.en}` } };
  },
  step_retried: ({ attempt }) => ({
    level: 'warn',
    message: { zh: `节点被中断，第 ${attempt} 次尝试`, en: `The node was cut off, attempt ${attempt}` },
  }),
  run_resumed: () => ({
    level: 'info',
    message: { zh: '执行继续', en: 'The execution goes on' },
  }),
  log: ({ level, message, data }) => ({
    level: level === 'warn' || level === 'error' || level === 'debug' ? level : 'info',
    message: message as LocalText,
    ...(typeof data === 'object' && data !== null && { data: data as Data }),
  }),
  execution_finished: (data) => {
    if (data.status === 'completed') {
      return { level: 'info', message: { zh: '工作流执行完成', en: 'The execution has completed' } };
    }
    const { zh, en } = errorOf(data)?.message ?? { zh: '', en: '' };
    return {
      level: 'error',
      message: { zh: `工作流执行失败：${zh}`, en: `The execution has failed: ${en}` },
      data: { error_code: errorOf(data)?.code },
    };
  },
};

/** Types of events that are log lines. */
export const isLogged = (type: string): boolean => Object.hasOwn(LINES, type);

/**
 * The log line of an event; undefined when it is none. Its id is made of the execution's and the event's number: the same line has
 * the same id whenever it is read.
 */
export function logLine(event: RunEvent): ExecutionLog | undefined {
  const line = isLogged(event.type) ? LINES[event.type]?.(event.data) : undefined;
  if (!line) return undefined;
  const { node_type: nodeType } = event.data;
  // Runs know steps by the keys under which they are stored.
  const key = stepOf(text(event.data.key)) ?? event.data.key;
  const nodeId = event.data.node_id ?? (typeof key === 'string' ? nodeIdOf(key) : undefined);
  const steps = typeof key === 'string' && key !== nodeId ? { key } : {};
  const data = { ...steps, ...line.data };
  return {
    id: `${event.logId.slice(0, 24)}${event.seq.toString(16).padStart(12, '0')}`,
    executionId: event.logId,
    nodeId: text(nodeId) || null,
    nodeType: text(nodeType) || null,
    level: line.level,
    message: line.message,
    data: Object.keys(data).length > 0 ? data : null,
    timestamp: event.at,
    durationMs: line.durationMs ?? null,
  };
}

const MAX_ERRORS = 100;

/** Counts log lines as they come. */
export function createSummary(): { add(line: ExecutionLog): void; readonly summary: LogSummary } {
  const summary: LogSummary = {
    totalLogs: 0,
    levelStats: { info: 0, warn: 0, error: 0, debug: 0 },
    nodeStats: [],
    errorLogs: [],
  };
  const nodes = new Map<string, LogSummary['nodeStats'][number]>();
  return {
    summary,
    add(line) {
      summary.totalLogs += 1;
      summary.levelStats[line.level] += 1;
      if (line.level === 'error' && summary.errorLogs.length < MAX_ERRORS) summary.errorLogs.push(line);
      if (line.nodeId === null) return;
      let node = nodes.get(line.nodeId);
      if (!node) {
        node = { nodeId: line.nodeId, nodeType: line.nodeType ?? '', logCount: 0, totalDurationMs: 0 };
        nodes.set(line.nodeId, node);
        summary.nodeStats.push(node);
      }
      node.logCount += 1;
      node.totalDurationMs += line.durationMs ?? 0;
      if (node.nodeType === '' && line.nodeType !== null) node.nodeType = line.nodeType;
    },
  };
}
