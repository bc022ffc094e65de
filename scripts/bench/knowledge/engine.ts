/** One engine over made-up passages: `engine.ts <koagent|minisearch|orama> <passages>`; prints one line of JSON. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IndexReader } from '../../../plugins/knowledge/search/reader.ts';
import { IndexWriter } from '../../../plugins/knowledge/search/writer.ts';
import { type Engine, koagentEngine, miniSearchEngine, oramaEngine } from '../../eval/engines.ts';
import { percentile } from '../table.ts';
import { createCorpus } from './corpus.ts';

export interface Measured {
  indexSeconds: number;
  /** Seconds of processor time for the same: other work on the machine counts less. */
  indexCpu: number;
  /** To open an index that is on disk, with the first search. */
  openMs?: number;
  p50: number;
  p95: number;
  p99: number;
  /** Milliseconds of processor time of a question. */
  cpu: number;
  /** Growth of the resident memory, MB. */
  memoryMb: number;
  /** Share of the questions whose passage came first. */
  first: number;
  diskMb?: number;
}

const QUESTIONS = 500;
/** Slow engines are asked fewer questions. */
const LONGEST_MS = 30_000;
const FEWEST = 50;
/** Seconds of processor time of this process, all threads. */
const processor = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const resident = () => {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 1e6;
};

async function ask(engine: Engine, size: number): Promise<Pick<Measured, 'p50' | 'p95' | 'p99' | 'cpu' | 'first'>> {
  const questions = questionsOf(size);
  for (const { text } of questions.slice(0, 10)) await engine.search(text, 10);
  const times: number[] = [];
  let first = 0;
  const [used, began] = [processor(), performance.now()];
  for (const { text, number } of questions) {
    if (times.length >= FEWEST && performance.now() - began > LONGEST_MS) break;
    const started = performance.now();
    const found = await engine.search(text, 10);
    times.push(performance.now() - started);
    if (found[0] === number) first += 1;
  }
  return {
    p50: percentile(times, 0.5),
    p95: percentile(times, 0.95),
    p99: percentile(times, 0.99),
    cpu: ((processor() - used) * 1000) / times.length,
    first: first / times.length,
  };
}

const textsOf = (size: number): string[] => Array.from({ length: size }, createCorpus(size).passage);

/** Questions over passages that are spread over the corpus, without keeping all of it. */
function questionsOf(size: number): { text: string; number: number }[] {
  const { passage } = createCorpus(size);
  const { question } = createCorpus(3);
  const step = Math.max(1, Math.floor(size / QUESTIONS));
  const questions: { text: string; number: number }[] = [];
  for (let number = 0; number < size && questions.length < QUESTIONS; number++) {
    const text = passage();
    if (number % step === 0) questions.push({ text: question(text), number });
  }
  return questions;
}

async function inMemory(make: (texts: readonly string[]) => Promise<Engine>, size: number): Promise<Measured> {
  const texts = textsOf(size);
  const before = resident();
  const [started, used] = [performance.now(), processor()];
  const engine = await make(texts);
  const [indexSeconds, indexCpu] = [(performance.now() - started) / 1000, processor() - used];
  const asked = await ask(engine, size);
  return { indexSeconds, indexCpu, ...asked, memoryMb: resident() - before };
}

/** Writes in this process and searches in another, as the server does in two threads. */
function koagent(size: number): Measured {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-bench-'));
  try {
    const file = join(folder, 'index.db');
    const [writer, reader] = [new IndexWriter(), new IndexReader()];
    const texts = textsOf(size);
    const [started, used] = [performance.now(), processor()];
    koagentEngine(file, writer, reader, texts);
    const [indexSeconds, indexCpu] = [(performance.now() - started) / 1000, processor() - used];
    writer.close();
    const search = spawnSync(process.execPath, ['--expose-gc', import.meta.filename, 'search', String(size), file], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return { indexSeconds, indexCpu, diskMb: statSync(file).size / 1e6, ...JSON.parse(search.stdout) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function searchOnly(size: number, file: string) {
  // Questions are made before the memory is looked at.
  questionsOf(1000);
  const before = resident();
  const reader = new IndexReader();
  const engine: Engine = {
    name: 'Koagent',
    search: (text, limit) =>
      reader.search(file, { text, limit, scope: ['b1'] }).map(({ document, position }) => Number(document) + position),
  };
  const started = performance.now();
  await engine.search('系统的风险', 10);
  const openMs = performance.now() - started;
  return { openMs, ...(await ask(engine, size)), memoryMb: resident() - before };
}

const [name = '', size = '', file = ''] = process.argv.slice(2);
const measured =
  name === 'search'
    ? await searchOnly(Number(size), file)
    : name === 'koagent'
      ? koagent(Number(size))
      : await inMemory(name === 'orama' ? oramaEngine : miniSearchEngine, Number(size));
console.log(JSON.stringify(measured));
