import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parse, stringify } from 'yaml';

const CONFIG = resolve(import.meta.dirname, '..', '..', 'config');

/** A server in a process of its own, as an operator runs it. */
export interface BenchServer {
  readonly url: string;
  readonly child: ChildProcess;
  /** From spawn to ready, in milliseconds. */
  readonly startMs: number;
  /** Resident memory now, in MiB; children are counted. */
  memory(): number;
  /** Processor time so far, in seconds; children are counted. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

/** Starts the server on a free port with an empty data folder. */
export async function startBenchServer(env: Record<string, string> = {}): Promise<BenchServer> {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-bench-'));
  const started = performance.now();
  const child = spawn(process.execPath, [join(import.meta.dirname, '..', 'start.ts')], {
    env: {
      ...process.env,
      PORT: '0',
      KOAGENT_DATA_DIR: join(folder, 'data'),
      KOAGENT_LOG_LEVEL: 'info',
      KOAGENT_MANIFEST: unlimitedManifest(folder),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await readyUrl(child);
  const startMs = performance.now() - started;
  return {
    url,
    child,
    startMs,
    memory: () => residentMiB(child.pid ?? 0),
    cpuSeconds: () => cpuSeconds(child.pid ?? 0),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The project's manifest with rate limits that a load test does not reach; everything else is as delivered. */
function unlimitedManifest(folder: string): string {
  const manifest = parse(readFileSync(join(CONFIG, 'manifest.yaml'), 'utf8')) as {
    plugins: Record<string, { from: string }>;
    http: { limits: Record<string, Record<string, number>> };
  };
  for (const plugin of Object.values(manifest.plugins)) plugin.from = resolve(CONFIG, plugin.from);
  for (const limits of Object.values(manifest.http.limits))
    for (const name of Object.keys(limits)) limits[name] = 10_000_000;
  const file = join(folder, 'manifest.yaml');
  writeFileSync(file, stringify(manifest));
  return file;
}

async function readyUrl(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('the server has no output');
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    const url = /"url":"([^"]+)"/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    return url;
  }
  throw new Error('the server ended before it was ready');
}

/** Resident memory of a process and its children, from /proc; 0 where there is none. */
function residentMiB(pid: number): number {
  try {
    const own = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    return childrenOf(pid).reduce((sum, child) => sum + residentMiB(child), own);
  } catch {
    return 0;
  }
}

/** Processor time of a process and its children, from /proc (100 ticks a second); 0 where there is none. */
function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    const own = (Number(fields[11]) + Number(fields[12])) / 100;
    return childrenOf(pid).reduce((sum, child) => sum + cpuSeconds(child), own);
  } catch {
    return 0;
  }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
