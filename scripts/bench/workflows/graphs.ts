import type { Graph } from '../../../plugins/workflows/public.ts';

const node = (id: string, type: string, data: Record<string, unknown> = {}) => ({ id, type, data });
const edge = (source: string, target: string, sourceHandle?: string) => ({
  source,
  target,
  ...(sourceHandle && { sourceHandle }),
});
const copy = { mapping: { text: '{text}', n: 'n' } };

/** start -> transform -> end */
export const small: Graph = {
  nodes: [node('start', 'start'), node('copy', 'transform', copy), node('end', 'end')],
  edges: [edge('start', 'copy'), edge('copy', 'end')],
};

/** A loop with one transform in its body. */
export const loop: Graph = {
  nodes: [
    node('start', 'start'),
    node('loop', 'loop', { items_path: 'items' }),
    node('copy', 'transform', { mapping: { n: 'item' } }),
    node('end', 'end'),
  ],
  edges: [edge('start', 'loop'), edge('loop', 'copy', 'body'), edge('loop', 'end', 'done')],
};

/** So many transforms one after another. */
export function chain(length: number): Graph {
  const ids = Array.from({ length }, (_, at) => `n${at}`);
  return {
    nodes: [node('start', 'start'), ...ids.map((id) => node(id, 'transform', copy)), node('end', 'end')],
    edges: [...ids, 'end'].map((id, at) => edge(at === 0 ? 'start' : (ids[at - 1] ?? ''), id)),
  };
}

/** So many transforms side by side. */
export function wide(branches: number): Graph {
  const ids = Array.from({ length: branches }, (_, at) => `n${at}`);
  return {
    nodes: [node('start', 'start'), ...ids.map((id) => node(id, 'transform', copy)), node('end', 'end')],
    edges: ids.flatMap((id) => [edge('start', id), edge(id, 'end')]),
  };
}

/** A code node that keeps a core busy for about so long. */
export const busy = (ms: number): Graph => ({
  nodes: [
    node('start', 'start'),
    node('code', 'code', {
      code: `const end = Date.now() + ${ms}; let n = 0; while (Date.now() < end) n += 1; return n;`,
    }),
    node('end', 'end'),
  ],
  edges: [edge('start', 'code'), edge('code', 'end')],
});

export const items = (count: number) => Array.from({ length: count }, (_, at) => at);
