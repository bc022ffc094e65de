import type { ReadEdge } from './shape.ts';

const TRUE_LABELS = new Set(['true', 'yes', '是', 'y', '真']);
const FALSE_LABELS = new Set(['false', 'no', '否', 'n', '假']);
const BODY_HANDLES = new Set(['body', 'loop', 'item', '循环体']);
const DONE_HANDLES = new Set(['done', 'end', 'next', '完成', '结束']);

type Handles = Pick<ReadEdge, 'handle' | 'label'>;

/** The branch that an edge out of a condition follows; undefined for a handle that is none. No handle and no telling label: `true`. */
export function conditionBranch({ handle, label }: Handles): 'true' | 'false' | undefined {
  if (handle !== undefined) return handle === 'true' || handle === 'false' ? handle : undefined;
  return label !== undefined && FALSE_LABELS.has(label) ? 'false' : 'true';
}

/** Whether an edge out of a condition says by handle or label which branch it follows. */
export const namesBranch = ({ handle, label }: Handles): boolean =>
  handle !== undefined || (label !== undefined && (TRUE_LABELS.has(label) || FALSE_LABELS.has(label)));

/** Where an edge out of a loop leads, as far as its handle or label says so. */
export function loopExit({ handle, label }: Handles): 'body' | 'done' | undefined {
  const name = handle ?? label ?? '';
  return BODY_HANDLES.has(name) ? 'body' : DONE_HANDLES.has(name) ? 'done' : undefined;
}
