import type { Graph } from '../../../plugins/workflows/public.ts';
import { compileGraph, createPurePerformer, Execution } from '../../../runtime/graph/index.ts';
import { printTable } from '../table.ts';
import { chain, items, loop, small, wide } from './graphs.ts';

/** The engine alone: the state machine and the nodes that it carries out itself, nothing stored. */
export function engineAlone(seconds: number): void {
  const performer = createPurePerformer();
  const carryOut = (plan: ReturnType<typeof compileGraph>, input: Record<string, unknown>): number => {
    const execution = new Execution(plan, input);
    execution.start();
    let steps = 0;
    for (let ready = execution.ready(); ready.length > 0; ready = execution.ready()) {
      for (const step of ready) {
        const performed = performer.perform(step);
        execution.finish(step, performed?.output, performed?.branch);
        steps += 1;
      }
      execution.changes();
    }
    if (execution.status !== 'completed') throw new Error(`The execution is ${execution.status}`);
    return steps;
  };
  const row = (name: string, graph: Graph, input: Record<string, unknown>) => {
    const plan = compileGraph(graph.nodes, graph.edges);
    carryOut(plan, input);
    const begin = performance.now();
    let steps = 0;
    let rounds = 0;
    for (; performance.now() - begin < seconds * 1000; rounds += 1) steps += carryOut(plan, input);
    const ms = performance.now() - begin;
    return [name, Math.round((steps / ms) * 1000), ((ms / steps) * 1000).toFixed(1), (ms / rounds).toFixed(2)];
  };
  printTable([
    ['engine alone', 'steps/s', 'us per step', 'ms per execution'],
    row('start -> transform -> end', small, { text: 'x', n: 1 }),
    row('graph of 1,000 nodes', chain(1000), { text: 'x', n: 1 }),
    row('1,000 parallel branches', wide(1000), { text: 'x', n: 1 }),
    row('loop over 10,000 items', loop, { items: items(10_000) }),
  ]);
}
