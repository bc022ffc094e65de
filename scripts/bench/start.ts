import { spawn } from 'node:child_process';
import { once } from 'node:events';
import autocannon from 'autocannon';
import { startBenchServer } from './server.ts';
import { percentile, printTable } from './table.ts';

const STARTS = 5;

/** Start time from spawn to ready with an empty data folder, beside an empty Node process; memory idle and under load. */
export async function run(_args: string[]): Promise<void> {
  const empty = [];
  const starts = [];
  for (let count = 0; count < STARTS; count++) {
    empty.push(await emptyProcess());
    const server = await startBenchServer();
    starts.push(server.startMs);
    await server.stop();
  }
  const server = await startBenchServer();
  const idle = server.memory();
  await autocannon({ url: `${server.url}/api/v1/health`, connections: 64, duration: 5, workers: 1 });
  const loaded = server.memory();
  await server.stop();
  const [p50, base] = [percentile(starts, 0.5), percentile(empty, 0.5)];
  printTable([
    ['', 'value', 'of an empty Node process'],
    ['start to ready, p50', `${Math.round(p50)} ms`, (p50 / base).toFixed(1)],
    ['memory idle', `${Math.round(idle)} MiB`, ''],
    ['memory under 64 connections', `${Math.round(loaded)} MiB`, ''],
  ]);
}

async function emptyProcess(): Promise<number> {
  const started = performance.now();
  await once(spawn(process.execPath, ['-e', '0']), 'exit');
  return performance.now() - started;
}
