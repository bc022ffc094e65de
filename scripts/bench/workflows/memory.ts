import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { printTable } from '../table.ts';

const MIB = 2 ** 20;
const AT_ONCE = 32;
const STEPS = 10;
/** Until caches have the size that they keep. */
const WARM = 10_000;

/** Memory of this process, heap after a collection, while executions come and go. */
export async function memoryOver(count: number, execute: (n: number) => Promise<void>): Promise<void> {
  // The collector cannot be called without the flag, and the flag is not for the whole benchmark.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const rows: (string | number)[][] = [['executions', 'heap MiB', 'resident MiB', 'executions/s']];
  const heaps: number[] = [];
  let done = 0;
  const carryOut = async (many: number) => {
    const begin = performance.now();
    let left = many;
    const worker = async () => {
      while (left-- > 0) await execute(left);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    done += many;
    const rate = Math.round(many / ((performance.now() - begin) / 1000));
    collect();
    const { heapUsed, rss } = process.memoryUsage();
    heaps.push(heapUsed / MIB);
    rows.push([done, (heapUsed / MIB).toFixed(1), Math.round(rss / MIB), rate]);
  };
  await carryOut(Math.min(WARM, Math.ceil(count / 2)));
  for (let step = 0; step < STEPS; step += 1) await carryOut(Math.ceil(count / STEPS));
  printTable(rows);
  const grown = (heaps.at(-1) ?? 0) - (heaps[0] ?? 0);
  console.log(
    `heap after the warm-up and at the end: ${grown >= 0 ? '+' : ''}${grown.toFixed(1)} MiB over ${count} executions`,
  );
}
