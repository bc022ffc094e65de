/**
 * `npm run demo`: writes a pre-loan report about a listed company through the HTTP API, as any client would. It starts a server of
 * its own in a temporary folder, or uses a running one with `--url`.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { loadSettings } from '../config/settings.ts';
import { demoData } from './demo/data.ts';
import { progressBar } from './demo/progress-bar.ts';
import { ReportsClient } from './demo/reports-client.ts';
import { startServer } from './server.ts';

const FORMATS = ['PDF', 'DOCX', 'HTML', 'MARKDOWN'];
const USAGE = `usage: npm run demo -- [--url http://127.0.0.1:8037] [--out report.pdf] [--format ${FORMATS.join('|')}]

Sends published figures of a listed company to a Koagent server and writes the report that comes back.`;

interface Options {
  url: string | undefined;
  file: string;
  format: string;
}

try {
  const options = readOptions();
  if (options === undefined) console.log(USAGE);
  else await writeReport(options);
} catch (error) {
  console.error(`demo: ${(error as Error).message}`);
  process.exitCode = 1;
}

/** Everything that can be wrong is told before any work is done. Undefined: only help was asked for. */
function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      out: { type: 'string', default: 'report.pdf' },
      format: { type: 'string', default: 'PDF' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const format = values.format.toUpperCase();
  if (!FORMATS.includes(format)) throw new Error(`--format must be one of ${FORMATS.join(', ')}`);
  const file = resolve(values.out);
  if (!existsSync(dirname(file))) throw new Error(`--out: there is no folder ${dirname(file)}`);
  return { url: values.url, file, format };
}

async function writeReport({ url, file, format }: Options): Promise<void> {
  const started = performance.now();
  const own = url === undefined ? await ownServer() : undefined;
  try {
    const client = await ReportsClient.register(own?.url ?? String(url), `demo-${randomUUID().slice(0, 8)}`);
    const { taskId } = await client.post('/tasks', demoData.task);
    const { outlineId } = await client.post(`/tasks/${taskId}/outline`, demoData.outline);
    await client.post(`/outline/${outlineId}/confirm`, { confirmerId: 'demo', confirmerName: '演示用户' });
    for (const entry of demoData.packages) {
      const { packageId } = await client.post(`/tasks/${taskId}/data-packages`, entry);
      await client.post(`/data-packages/${packageId}/confirm`, { confirmerId: 'demo', confirmerName: '演示用户' });
    }
    const posted = performance.now();
    const { reportId } = await client.post(`/tasks/${taskId}/reports`, { ...demoData.report, format });
    await follow(client, String(taskId));
    const bytes = await client.export(String(reportId));
    writeFileSync(file, bytes);
    const seconds = (from: number) => ((performance.now() - from) / 1000).toFixed(1);
    console.log(
      `${file}  ${(bytes.length / 1024).toFixed(0)} KiB, report in ${seconds(posted)} s, everything in ${seconds(started)} s`,
    );
  } finally {
    await own?.close();
  }
}

/** Shows the progress stream until the task ends. */
async function follow(client: ReportsClient, taskId: string): Promise<void> {
  const response = await client.progress(taskId);
  const messages = response.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  const bar = progressBar(process.stdout);
  let last: { status: string; message: string } | undefined;
  for await (const { data } of messages) {
    const state = JSON.parse(data) as { status: string; progress: number; message: string };
    bar.show(state.progress, state.message);
    last = state;
  }
  bar.end();
  if (last?.status !== 'COMPLETED') throw new Error(`the task ended as ${last?.status}: ${last?.message}`);
}

/** A server on a free port with the embedded store in a temporary folder. */
async function ownServer(): Promise<{ url: string; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-demo-'));
  const server = await startServer(
    loadSettings({
      ...process.env,
      PORT: '0',
      HOST: '127.0.0.1',
      KOAGENT_DATA_DIR: folder,
      KOAGENT_LOG_LEVEL: process.env.KOAGENT_LOG_LEVEL ?? 'error',
    }),
  );
  return {
    url: server.url,
    async close() {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
