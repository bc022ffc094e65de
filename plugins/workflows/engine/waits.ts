import { AppError } from '../../../core/errors.ts';
import type { Step } from '../../../runtime/graph/index.ts';
import { MAX_DELAY_SECONDS } from './control-types.ts';
import { resolveValue } from './resolve.ts';

/** What a person decided about a `human` node; its output, with the node's input beside it. */
export interface Decision {
  approved: boolean;
  comment: string;
  data: unknown;
  decided_by: string;
  /** ISO, UTC. */
  decided_at: string;
}

export function decisionOf(given: unknown): Decision {
  const { approved, comment, data, decided_by, decided_at } = given as Partial<Decision>;
  return {
    approved: approved === true,
    comment: comment ?? '',
    data: data ?? null,
    decided_by: decided_by ?? '',
    decided_at: decided_at ?? '',
  };
}

/** When the wait of a node is over by itself, in milliseconds since 1970; undefined: never. @throws {AppError} DELAY_INVALID */
export function momentOf(step: Step, now: number): number | undefined {
  if (step.type === 'delay') return delayUntil(step, now);
  return step.timeoutMs === undefined ? undefined : now + step.timeoutMs;
}

/**
 * The end of a delay, in milliseconds since 1970. `until` goes before `seconds`.
 *
 * @throws {AppError} DELAY_INVALID
 */
function delayUntil({ data, scope }: Step, now: number): number {
  const { value: until } = resolveValue(data.until ?? null, scope);
  if (until !== null && until !== '') {
    const moment = typeof until === 'number' ? until * 1000 : parseMoment(String(until));
    if (Number.isNaN(moment) || moment > now + MAX_DELAY_SECONDS * 1000) throw invalid('until', until);
    return moment;
  }
  const { value } = resolveValue(data.seconds ?? 0, scope);
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof seconds !== 'number' || !(seconds >= 0 && seconds <= MAX_DELAY_SECONDS)) throw invalid('seconds', value);
  return now + seconds * 1000;
}

/** Times without a zone are UTC, as everywhere in this API. */
const parseMoment = (text: string): number =>
  Date.parse(/(z|[+-]\d\d:?\d\d)$/i.test(text.trim()) || !text.includes('T') ? text : `${text.trim()}Z`);

const invalid = (name: string, value: unknown) => {
  const shown = (JSON.stringify(value) ?? 'null').slice(0, 100);
  return new AppError('invalid', 'DELAY_INVALID', {
    zh: `等待节点的 ${name} 无效：${shown}`,
    en: `${name} of the delay is not valid: ${shown}`,
  });
};
