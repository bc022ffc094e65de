import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '../client.ts';
import { type Installed, type PeerRow, rateOf } from './index.ts';

const SERVER = join(import.meta.dirname, 'node-red-server.ts');

/** Node-RED in a process of its own, over HTTP: `http in` -> `change` -> `http response`; nothing is stored there. */
export async function nodeRed({ version, resolve }: Installed, seconds: number): Promise<PeerRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-bench-node-red-'));
  const child = spawn(process.execPath, [SERVER, resolve('node-red'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const client = createClient(await address(child));
    const once = () => client.call('POST', '/run', { text: 'x', n: 1 });
    await rateOf(1, 16, once);
    const rows: PeerRow[] = [];
    for (const at of [1, 64]) {
      rows.push([`Node-RED ${version} over HTTP, nothing stored`, at, await rateOf(seconds, at, once)]);
    }
    client.close();
    return rows;
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

async function address(child: ChildProcess): Promise<string> {
  for await (const chunk of child.stdout ?? []) {
    const found = /http:\/\/127\.0\.0\.1:\d+/.exec(String(chunk))?.[0];
    if (found !== undefined) return found;
  }
  throw new Error('Node-RED has not started');
}
