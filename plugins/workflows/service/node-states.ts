import type { ErrorRecord } from '../../../core/errors.ts';
import type { RunEvent } from '../../../runtime/runs/service.ts';
import type { NodeSummary } from '../public.ts';

const MAX_KEYS = 1000;

/** What became of each node, worked out from the events of its execution. */
export function createNodeStates(): { add(event: RunEvent): void; end(): NodeSummary[] } {
  const nodes = new Map<string, NodeSummary & { open: Set<string>; known: Set<string> }>();
  let ended = false;

  const nodeOf = (data: Record<string, unknown>) => {
    const nodeId = String(data.node_id ?? '');
    let node = nodes.get(nodeId);
    if (!node) {
      node = {
        nodeId,
        nodeType: String(data.node_type ?? ''),
        status: 'running',
        runs: 0,
        failures: 0,
        startedAt: null,
        finishedAt: null,
        durationMs: 0,
        error: null,
        keys: [],
        open: new Set(),
        known: new Set(),
      };
      nodes.set(nodeId, node);
    }
    const key = String(data.key ?? '');
    if (!node.known.has(key) && node.keys.length < MAX_KEYS) {
      node.known.add(key);
      node.keys.push(key);
    }
    return { node, key };
  };

  return {
    add({ type, data, at }) {
      switch (type) {
        case 'node_started': {
          const { node, key } = nodeOf(data);
          node.open.add(key);
          node.status = 'running';
          node.startedAt ??= at;
          break;
        }
        case 'node_waiting':
          nodeOf(data).node.status = 'waiting';
          break;
        case 'node_finished':
        case 'node_failed': {
          const { node, key } = nodeOf(data);
          node.open.delete(key);
          node.runs += 1;
          node.finishedAt = at;
          node.startedAt ??= at;
          node.durationMs += typeof data.duration_ms === 'number' ? data.duration_ms : 0;
          if (type === 'node_failed') {
            node.failures += 1;
            node.error = data.error as ErrorRecord;
          }
          if (node.open.size === 0) node.status = type === 'node_failed' ? 'failed' : 'finished';
          break;
        }
        case 'node_skipped': {
          const { node } = nodeOf(data);
          // In a loop a node may be skipped for one item and not for another.
          if (node.runs === 0 && node.open.size === 0) node.status = 'skipped';
          break;
        }
        case 'execution_finished':
          ended = true;
          break;
      }
    },
    end: () =>
      [...nodes.values()].map(({ open: _open, known: _known, ...node }) => ({
        ...node,
        // What was under way when the execution ended has been stopped with it.
        ...(ended && (node.status === 'running' || node.status === 'waiting') && { status: 'failed' as const }),
      })),
  };
}
