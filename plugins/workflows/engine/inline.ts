import { createPurePerformer, type Performed, type Step } from '../../../runtime/graph/index.ts';
import { unknownType } from './failures.ts';
import { resolveText } from './resolve.ts';

const performer = createPurePerformer();

export const INLINE_TYPES = new Set(['start', 'input', 'condition', 'transform', 'output', 'end', 'template']);

export function perform(step: Step): Performed {
  const pure = performer.perform(step);
  if (pure) return pure;
  if (step.type === 'template') {
    const { text, unresolved } = resolveText(String(step.data.template ?? ''), step.scope);
    return { output: text, unresolved };
  }
  throw unknownType(step.type);
}
