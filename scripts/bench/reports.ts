import { demoData } from '../demo/data.ts';
import { ReportsClient } from '../demo/reports-client.ts';
import { type BenchServer, startBenchServer } from './server.ts';
import { percentile, printTable } from './table.ts';

const CHAPTERS = [3, 30];
const REPEATS = 5;

/** Time from the request for a report to its finished PDF, on the offline model. */
export async function run(_args: string[]): Promise<void> {
  const server = await startBenchServer();
  try {
    // The first report pays for starting the lanes and loading the fonts.
    const cold = await measure(server, 3);
    const rows: (string | number)[][] = [['', 'p50', 'worst', 'PDF', 'memory']];
    for (const chapters of CHAPTERS) {
      const results = [];
      for (let count = 0; count < REPEATS; count++) results.push(await measure(server, chapters));
      const times = results.map(({ ms }) => ms);
      rows.push([
        `${chapters} chapters`,
        `${Math.round(percentile(times, 0.5))} ms`,
        `${Math.round(Math.max(...times))} ms`,
        `${Math.round((results[0]?.bytes ?? 0) / 1024)} KiB`,
        `${Math.round(server.memory())} MiB`,
      ]);
    }
    rows.push([
      'the very first, 3 chapters',
      `${Math.round(cold.ms)} ms`,
      '',
      `${Math.round(cold.bytes / 1024)} KiB`,
      '',
    ]);
    printTable(rows);
  } finally {
    await server.stop();
  }
}

/** One report with the demo's packages repeated until there are enough chapters. */
async function measure(server: BenchServer, chapters: number): Promise<{ ms: number; bytes: number }> {
  const client = await ReportsClient.register(server.url, `bench-${Math.random().toString(36).slice(2)}`);
  const { taskId } = await client.post('/tasks', { taskName: `${chapters} 章` });
  const children = Array.from({ length: chapters }, (_, at) => ({
    nodeId: `n${at}`,
    chapterNumber: String(at + 1),
    title: `第 ${at + 1} 章`,
    knowledgeUnitId: `ku_${at}`,
  }));
  const { outlineId } = await client.post(`/tasks/${taskId}/outline`, {
    title: '大纲',
    type: 'LEVEL1',
    rootNode: { nodeId: 'root', title: '报告', children },
  });
  await client.post(`/outline/${outlineId}/confirm`, { confirmerId: 'b', confirmerName: 'b' });
  for (let at = 0; at < chapters; at++) {
    const source = demoData.packages[at % demoData.packages.length];
    const { packageId } = await client.post(`/tasks/${taskId}/data-packages`, {
      ...source,
      knowledgeUnitId: `ku_${at}`,
    });
    await client.post(`/data-packages/${packageId}/confirm`, {});
  }
  const started = performance.now();
  const { reportId } = await client.post(`/tasks/${taskId}/reports`, { title: `${chapters} 章报告` });
  // The stream ends with the task.
  for await (const _ of await client.progress(String(taskId)));
  const bytes = await client.export(String(reportId));
  return { ms: performance.now() - started, bytes: bytes.length };
}
