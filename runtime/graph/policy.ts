import type { LocalText } from '../../core/errors.ts';
import { GRAPH_LIMITS } from './limits.ts';
import type { ErrorPolicy } from './types.ts';
import { isRecord } from './values.ts';

/** Reads the common error policy of `data`; values out of range are brought into it. */
export function readPolicy(data: Readonly<Record<string, unknown>>): ErrorPolicy {
  const onError = data.on_error;
  const retry = isRecord(data.retry) ? data.retry : {};
  const timeoutMs = bounded(data.timeout_ms, 1, 86_400_000 * 30, 0);
  return {
    onError: onError === 'continue' || onError === 'default' ? onError : 'fail',
    defaultValue: data.default_value ?? null,
    retry: {
      max: Math.floor(bounded(retry.max, 0, GRAPH_LIMITS.retries, 0)),
      delayMs: bounded(retry.delay_ms, 0, GRAPH_LIMITS.retryDelayMs, 0),
      factor: bounded(retry.factor, 1, 10, 2),
    },
    timeoutMs: timeoutMs > 0 ? timeoutMs : undefined,
  };
}

function bounded(value: unknown, least: number, most: number, otherwise: number): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) return otherwise;
  return Math.min(most, Math.max(least, value));
}

/** The wait before the attempt that follows attempt `attempt`. */
export const retryDelay = ({ retry }: ErrorPolicy, attempt: number): number =>
  Math.min(GRAPH_LIMITS.retryDelayMs, retry.delayMs * retry.factor ** (attempt - 1));

/** Complaints about the error policy in `data`. */
export function policyProblems(data: Readonly<Record<string, unknown>>): LocalText[] {
  const problems: LocalText[] = [];
  const say = (zh: string, en: string) => problems.push({ zh, en });
  const onError = data.on_error;
  if (given(onError) && onError !== 'fail' && onError !== 'continue' && onError !== 'default') {
    say('on_error 只能是 fail、continue 或 default', 'on_error must be fail, continue or default');
  }
  const range = (name: string, value: unknown, least: number, most: number) => {
    if (given(value) && !(typeof value === 'number' && value >= least && value <= most)) {
      say(`${name} 必须是 ${least} 到 ${most} 的数字`, `${name} must be a number from ${least} to ${most}`);
    }
  };
  range('timeout_ms', data.timeout_ms, 1, 86_400_000 * 30);
  const retry = data.retry;
  if (!given(retry)) return problems;
  if (!isRecord(retry))
    say('retry 必须是对象 {max, delay_ms, factor}', 'retry must be an object {max, delay_ms, factor}');
  else {
    range('retry.max', retry.max, 0, GRAPH_LIMITS.retries);
    range('retry.delay_ms', retry.delay_ms, 0, GRAPH_LIMITS.retryDelayMs);
    range('retry.factor', retry.factor, 1, 10);
  }
  return problems;
}

const given = (value: unknown) => value !== undefined && value !== null;
