import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Principal } from '../../../core/principal.ts';
import { executionService, type Graph, workflowService } from '../../../plugins/workflows/public.ts';
import type { RunningServer } from '../../server.ts';
import { percentile, printTable } from '../table.ts';
import { repeat } from './client.ts';
import { busy, chain, items, loop, small, wide } from './graphs.ts';
import { memoryOver } from './memory.ts';

const me: Principal = { kind: 'user', accountId: 'bench', tenantId: 'bench', roles: ['user'] };

/** The plugin in this process, on the embedded store, without HTTP. */
export function inProcess(server: RunningServer) {
  const { host } = server.app;
  const workflows = host.find(workflowService);
  const executions = host.find(executionService);
  if (!workflows || !executions) throw new Error('the plugin workflows is not enabled');

  const prepare = async (graph: Graph) => (await workflows.create(me, { name: 'bench', ...graph })).id;
  const execute = async (workflowId: string, input: Record<string, unknown>) => {
    const { id } = await executions.start(me, workflowId, input);
    const { status, error } = await server.runs.ended(me, id);
    if (status !== 'succeeded') throw new Error(`An execution ended as ${status}: ${error?.message.en}`);
  };
  return {
    async rates(seconds: number): Promise<void> {
      const rows: (string | number)[][] = [
        ['durable, in process', 'executions/s', 'steps/s', 'ms a step', 'p50', 'p99', 'CPU ms each'],
      ];
      const row = async (name: string, graph: Graph, steps: number, input: Record<string, unknown>, at: number) => {
        const id = await prepare(graph);
        await execute(id, input);
        await repeat(seconds * 250, at, () => execute(id, input));
        const begin = performance.now();
        const cpu = process.cpuUsage();
        const times = await repeat(seconds * 1000, at, () => execute(id, input));
        const { user, system } = process.cpuUsage(cpu);
        const rate = times.length / ((performance.now() - begin) / 1000);
        const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
        rows.push([
          name,
          rate.toFixed(1),
          Math.round(rate * steps),
          (p50 / steps).toFixed(3),
          `${p50.toFixed(1)} ms`,
          `${p99.toFixed(1)} ms`,
          ((user + system) / 1000 / times.length).toFixed(2),
        ]);
      };
      const input = { text: 'x', n: 1 };
      await row('start -> transform -> end, 1 at a time', small, 3, input, 1);
      await row('start -> transform -> end, 32 at a time', small, 3, input, 32);
      await row('graph of 1,000 nodes', chain(1000), 1002, input, 1);
      await row('1,000 parallel branches', wide(1000), 1002, input, 1);
      await row('loop over 10,000 items', loop, 10_002, { items: items(10_000) }, 1);
      printTable(rows);
    },

    /** Delay of this thread's event loop while all threads of the isolated lane are busy with code nodes, beside itself without them. */
    async saturated(seconds: number): Promise<void> {
      const heavy = await prepare(busy(200));
      const light = await prepare(small);
      const small1 = () => execute(light, { text: 'x', n: 1 });
      await execute(heavy, {});
      await repeat(seconds * 500, 8, small1);
      const rows: (string | number)[][] = [['one small execution after another', 'loop delay p99', 'p50', 'p99']];
      const row = async (name: string, beside: () => Promise<unknown>) => {
        const delay = monitorEventLoopDelay({ resolution: 2 });
        delay.enable();
        const [times] = await Promise.all([repeat(seconds * 1000, 1, small1), beside()]);
        delay.disable();
        // The monitor counts from one timer to the next: its resolution is no delay.
        const p99 = Math.max(0, delay.percentile(99) / 1e6 - 2);
        rows.push([name, ...[p99, percentile(times, 0.5), percentile(times, 0.99)].map((ms) => `${ms.toFixed(1)} ms`)]);
      };
      await row('nothing beside it', async () => undefined);
      await row('pool saturated by code nodes', () => repeat(seconds * 1000, 8, () => execute(heavy, {})));
      printTable(rows);
    },

    /** Memory of this process while executions come and go. */
    async memory(count: number): Promise<void> {
      const id = await prepare(small);
      await memoryOver(count, (n) => execute(id, { text: 'x', n }));
    },
  };
}
