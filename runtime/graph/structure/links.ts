/** Outgoing links of every node in one flat array, so that walks over large graphs stay fast. */
export interface Links {
  /** Links of node `v` are at `offsets[v]` to `offsets[v + 1]`, in the order in which they were given. */
  readonly offsets: Int32Array;
  /** Index of the link in the list that it was built from. */
  readonly ids: Int32Array;
}

export function linksFrom(nodeCount: number, from: readonly number[]): Links {
  const offsets = new Int32Array(nodeCount + 1);
  for (const node of from) offsets[node + 1] = (offsets[node + 1] ?? 0) + 1;
  for (let node = 0; node < nodeCount; node += 1) offsets[node + 1] = (offsets[node + 1] ?? 0) + (offsets[node] ?? 0);
  const next = offsets.slice();
  const ids = new Int32Array(from.length);
  from.forEach((node, id) => {
    const place = next[node] ?? 0;
    ids[place] = id;
    next[node] = place + 1;
  });
  return { offsets, ids };
}

export interface Link {
  from: number;
  to: number;
}

/**
 * Depth-first walk. Links back to a node that is still being walked are returned as `retreating`; without them there are no
 * cycles left, and `order` is topological.
 *
 * @param roots nodes in the order in which walks begin
 */
export function depthFirst(nodeCount: number, links: readonly Link[], roots: Iterable<number>) {
  const { offsets, ids } = linksFrom(
    nodeCount,
    links.map(({ from }) => from),
  );
  const state = new Uint8Array(nodeCount); // 0 new, 1 on the stack, 2 done
  const cursor = offsets.slice(0, nodeCount);
  const finished: number[] = [];
  const retreating: { link: number; cycle: number[] }[] = [];
  for (const root of roots) {
    if (state[root] !== 0) continue;
    const stack = [root];
    state[root] = 1;
    for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
      const at = cursor[node] ?? 0;
      if (at === offsets[node + 1]) {
        state[node] = 2;
        finished.push(node);
        stack.pop();
        continue;
      }
      cursor[node] = at + 1;
      const link = ids[at] ?? 0;
      const to = links[link]?.to ?? 0;
      if (state[to] === 0) {
        state[to] = 1;
        stack.push(to);
      } else if (state[to] === 1) {
        // The first few cycles are shown whole; a hostile graph has very many.
        retreating.push({ link, cycle: retreating.length < 20 ? stack.slice(stack.lastIndexOf(to)) : [to, node] });
      }
    }
  }
  return { order: finished.reverse(), retreating };
}

/** Topological order that keeps the order of the list where links leave a choice; `left` could not be ordered. */
export function kahn(nodes: readonly number[], links: readonly Link[]): { order: number[]; left: number[] } {
  const place = new Map(nodes.map((node, at) => [node, at]));
  const local = links.map(({ from, to }) => ({ from: place.get(from) ?? 0, to: place.get(to) ?? 0 }));
  const { offsets, ids } = linksFrom(
    nodes.length,
    local.map(({ from }) => from),
  );
  const waiting = new Int32Array(nodes.length);
  for (const { to } of local) waiting[to] = (waiting[to] ?? 0) + 1;
  const queue: number[] = [];
  nodes.forEach((_, at) => {
    if (waiting[at] === 0) queue.push(at);
  });
  for (let head = 0; head < queue.length; head += 1) {
    const at = queue[head] ?? 0;
    for (let link = offsets[at] ?? 0; link < (offsets[at + 1] ?? 0); link += 1) {
      const to = local[ids[link] ?? 0]?.to ?? 0;
      waiting[to] = (waiting[to] ?? 0) - 1;
      if (waiting[to] === 0) queue.push(to);
    }
  }
  return {
    order: queue.map((at) => nodes[at] ?? 0),
    left: nodes.filter((_, at) => (waiting[at] ?? 0) > 0),
  };
}
