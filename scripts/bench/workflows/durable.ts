import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Principal } from '../../../core/principal.ts';
import { executionService, type Graph, workflowService } from '../../../plugins/workflows/public.ts';
import type { RunningServer } from '../../server.ts';
import { percentile, printTable } from '../table.ts';
import { busy, chain, items, loop, small, wide } from './graphs.ts';

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
  /** So many at a time, for so long; the time of each in milliseconds. */
  const repeat = async (ms: number, concurrency: number, work: () => Promise<void>): Promise<number[]> => {
    const times: number[] = [];
    const end = performance.now() + ms;
    const worker = async () => {
      while (performance.now() < end) {
        const begin = performance.now();
        await work();
        times.push(performance.now() - begin);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return times;
  };

  return {
    async rates(seconds: number): Promise<void> {
      const rows: (string | number)[][] = [['durable, in process', 'executions/s', 'steps/s', 'p50', 'p99']];
      const row = async (name: string, graph: Graph, steps: number, input: Record<string, unknown>, at: number) => {
        const id = await prepare(graph);
        await execute(id, input);
        const begin = performance.now();
        const times = await repeat(seconds * 1000, at, () => execute(id, input));
        const rate = times.length / ((performance.now() - begin) / 1000);
        const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
        rows.push([name, rate.toFixed(1), Math.round(rate * steps), `${p50.toFixed(1)} ms`, `${p99.toFixed(1)} ms`]);
      };
      const input = { text: 'x', n: 1 };
      await row('start -> transform -> end, 1 at a time', small, 3, input, 1);
      await row('start -> transform -> end, 32 at a time', small, 3, input, 32);
      await row('graph of 1,000 nodes', chain(1000), 1002, input, 1);
      await row('1,000 parallel branches', wide(1000), 1002, input, 1);
      await row('loop over 10,000 items', loop, 10_002, { items: items(10_000) }, 1);
      printTable(rows);
    },

    /** Delay of this thread's event loop while all threads of the isolated lane are busy with code nodes. */
    async saturated(seconds: number): Promise<void> {
      const heavy = await prepare(busy(200));
      const light = await prepare(small);
      await execute(heavy, {});
      const delay = monitorEventLoopDelay({ resolution: 2 });
      delay.enable();
      const busyDone = repeat(seconds * 1000, 8, () => execute(heavy, {}));
      const times = await repeat(seconds * 1000, 1, () => execute(light, { text: 'x', n: 1 }));
      await busyDone;
      delay.disable();
      // The monitor counts from one timer to the next: its resolution is no delay.
      const p99 = Math.max(0, delay.percentile(99) / 1e6 - 2);
      console.log(
        `pool saturated by code nodes: event loop delay p99 ${p99.toFixed(1)} ms, a small execution meanwhile p50 ${percentile(times, 0.5).toFixed(1)} ms`,
      );
    },

    /** Memory of this process while executions come and go. */
    async memory(executionsInAll: number): Promise<void> {
      const id = await prepare(small);
      const rows: (string | number)[][] = [['executions', 'heap MiB', 'resident MiB', 'executions/s']];
      const steps = 5;
      for (let step = 0; step <= steps; step += 1) {
        const begin = performance.now();
        const count = step === 0 ? 1000 : Math.ceil(executionsInAll / steps);
        let left = count;
        const worker = async () => {
          while (left-- > 0) await execute(id, { text: 'x', n: left });
        };
        await Promise.all(Array.from({ length: 32 }, worker));
        const rate = Math.round(count / ((performance.now() - begin) / 1000));
        global.gc?.();
        const { heapUsed, rss } = process.memoryUsage();
        const done = step === 0 ? 1000 : 1000 + step * count;
        rows.push([done, Math.round(heapUsed / 2 ** 20), Math.round(rss / 2 ** 20), rate]);
      }
      printTable(rows);
    },
  };
}
