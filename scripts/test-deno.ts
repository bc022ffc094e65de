/** `npm run test:deno`: starts the server under Deno and runs the demo against it: a whole report from data to PDF. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

if (process.argv.includes('--help')) {
  console.log('usage: npm run test:deno');
  process.exit(0);
}

const START_MS = 60_000;
const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'koagent-deno-'));
const deno = spawn(
  join(root, 'node_modules', '.bin', 'deno'),
  ['run', '--allow-all', '--no-check', 'scripts/start.ts'],
  {
    cwd: root,
    env: { ...process.env, PORT: '0', KOAGENT_DATA_DIR: join(folder, 'data'), KOAGENT_LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);

try {
  const url = await address();
  const pdf = join(folder, 'report.pdf');
  const demo = spawn(process.execPath, ['scripts/demo.ts', '--url', url, '--out', pdf], {
    cwd: root,
    stdio: 'inherit',
  });
  const [code] = (await once(demo, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`the demo ended with ${code}`);
  const head = readFileSync(pdf).subarray(0, 5).toString('latin1');
  if (head !== '%PDF-') throw new Error(`the report is no PDF: it begins with ${JSON.stringify(head)}`);
  deno.kill('SIGTERM');
  const [stopped] = (await once(deno, 'exit')) as [number | null];
  if (stopped !== 0) throw new Error(`the server ended with ${stopped}`);
  console.log('deno: the demo ran against the server under Deno');
} catch (error) {
  console.error(`deno: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  deno.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

/** The address that the server's log tells when it is ready. */
async function address(): Promise<string> {
  const timer = setTimeout(() => deno.kill('SIGKILL'), START_MS);
  try {
    for await (const line of createInterface({ input: deno.stdout })) {
      if (!line.startsWith('{')) continue;
      const { url } = JSON.parse(line) as { url?: string };
      if (url === undefined) continue;
      // The rest of the log is read and dropped, so that the pipe never fills.
      deno.stdout.resume();
      return url;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new Error('the server did not start');
}
