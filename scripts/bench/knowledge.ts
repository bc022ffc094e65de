/** `npm run bench -- knowledge`: imports through a whole server, and the search index beside MiniSearch and Orama. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import PDFDocument from 'pdfkit';
import { loadSettings } from '../../config/settings.ts';
import type { Principal } from '../../core/principal.ts';
import { knowledgeService } from '../../plugins/knowledge/public.ts';
import { startServer } from '../server.ts';
import { createCorpus } from './knowledge/corpus.ts';
import type { Measured } from './knowledge/engine.ts';
import { printTable } from './table.ts';

const HELP = `usage: npm run bench -- knowledge [--large] [--sizes 10000,100000] [--engines koagent,minisearch,orama] [--all]

Imports: PDF pages and megabytes of text a second, from upload to searchable, through a whole server.
Search: made-up Chinese and English passages of about 500 characters; each engine in a process of its own.
--large adds 1,000,000 passages for Koagent. The other engines are measured up to 10,000 passages; --all: up to all sizes
(MiniSearch takes 4 GB and many minutes for 100,000).`;

/** The others hold everything in memory: 100,000 passages take MiniSearch gigabytes and many minutes, Orama does not end. */
const LARGEST: Readonly<Record<string, number>> = {
  koagent: Number.POSITIVE_INFINITY,
  minisearch: 10_000,
  orama: 10_000,
};

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', default: false },
      large: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      sizes: { type: 'string', default: '10000,100000' },
      engines: { type: 'string', default: 'koagent,minisearch,orama' },
    },
  });
  if (values.help) return console.log(HELP);
  const sizes = [...values.sizes.split(',').map(Number), ...(values.large ? [1_000_000] : [])].filter(
    (size) => size > 0,
  );
  await imports();
  console.log();
  await searches(sizes, values.engines.split(','), values.all);
}

async function imports(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-bench-'));
  const settings = loadSettings({ PORT: '0', KOAGENT_LOG_LEVEL: 'error', KOAGENT_DATA_DIR: dataDir });
  const server = await startServer(settings);
  try {
    const knowledge = server.app.host.find(knowledgeService);
    if (knowledge === undefined) throw new Error('the knowledge plugin is not enabled');
    const who: Principal = { kind: 'user', accountId: 'bench', tenantId: 'bench', roles: [] };
    const corpus = createCorpus(1);
    const pages = 200;
    const files = [
      { filename: 'warm.pdf', content: await pdf(2, corpus.passage) },
      { filename: 'warm.pdf', content: await pdf(2, corpus.passage) },
      { filename: `${pages} pages.pdf`, content: await pdf(pages, corpus.passage) },
      { filename: '8 MB.txt', content: Buffer.from(Array.from({ length: 6200 }, corpus.passage).join('\n\n')) },
    ];
    const rows: (string | number)[][] = [
      ['import', 'MB', 'passages', 's', 'cpu s', 'pages/s', 'MB/s', 'loop p99 ms', 'loop max ms'],
    ];
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    for (const file of files) {
      const [started, used] = [performance.now(), process.cpuUsage()];
      delay.reset();
      const { id } = await knowledge.addDocument(who, { agentId: 'bench' }, file);
      const done = await knowledge.imported(who, id);
      const seconds = (performance.now() - started) / 1000;
      const cpu = process.cpuUsage(used);
      if (done.status !== 'completed') throw new Error(done.error?.message.en ?? 'the import failed');
      if (file.filename === 'warm.pdf') continue;
      const megabytes = file.content.byteLength / 1e6;
      rows.push([
        file.filename,
        megabytes.toFixed(1),
        done.passages,
        seconds.toFixed(2),
        ((cpu.user + cpu.system) / 1e6).toFixed(2),
        done.pages === null ? '' : (done.pages / seconds).toFixed(0),
        (megabytes / seconds).toFixed(2),
        (delay.percentile(99) / 1e6).toFixed(1),
        (delay.max / 1e6).toFixed(1),
      ]);
    }
    printTable(rows);
    console.log('cpu: of the server process, without the process that reads; loop: delay of the event loop meanwhile');
  } finally {
    await server.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function searches(sizes: readonly number[], engines: readonly string[], all: boolean): Promise<void> {
  const rows: (string | number)[][] = [
    [
      'search',
      'passages',
      'index s',
      'cpu s',
      'open ms',
      'p50 ms',
      'p95 ms',
      'p99 ms',
      'cpu ms',
      'memory MB',
      'found first %',
      'disk MB',
    ],
  ];
  for (const size of sizes) {
    for (const engine of engines) {
      if (size > (LARGEST[engine] ?? 0) && !all) continue;
      const found = await measureEngine(engine, size);
      rows.push([
        engine,
        size,
        found.indexSeconds.toFixed(1),
        found.indexCpu.toFixed(1),
        found.openMs === undefined ? '-' : found.openMs.toFixed(0),
        found.p50.toFixed(2),
        found.p95.toFixed(2),
        found.p99.toFixed(2),
        found.cpu.toFixed(2),
        found.memoryMb.toFixed(0),
        (found.first * 100).toFixed(1),
        found.diskMb === undefined ? '-' : found.diskMb.toFixed(0),
      ]);
    }
  }
  printTable(rows);
  console.log(
    'cpu: processor time of indexing all, and of one question; memory: resident growth over a process that has loaded the engine; Koagent: of the searching process',
  );
}

/** In a process of its own, so that memory is that of the engine alone. */
async function measureEngine(engine: string, size: number): Promise<Measured> {
  const child = spawn(
    process.execPath,
    [
      '--max-old-space-size=6000',
      '--expose-gc',
      join(import.meta.dirname, 'knowledge', 'engine.ts'),
      engine,
      String(size),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${engine} with ${size} passages ended with ${code}`);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Measured;
}

function pdf(pages: number, passage: () => string): Promise<Uint8Array> {
  const font = createRequire(import.meta.url).resolve(
    '@expo-google-fonts/noto-sans-sc/400Regular/NotoSansSC_400Regular.ttf',
  );
  return new Promise((resolve, reject) => {
    const document = new PDFDocument({ autoFirstPage: false, size: 'A4' });
    const chunks: Buffer[] = [];
    document.on('data', (chunk: Buffer) => chunks.push(chunk));
    document.on('end', () => resolve(new Uint8Array(Buffer.concat(chunks))));
    document.on('error', reject);
    for (let page = 1; page <= pages; page++) {
      document.addPage().font(font).fontSize(18).text(`第${page}节`).fontSize(11);
      document.text(passage()).moveDown().text(passage());
    }
    document.end();
  });
}
