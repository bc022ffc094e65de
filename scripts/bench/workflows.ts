import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadSettings } from '../../config/settings.ts';
import { startServer } from '../server.ts';
import { inProcess } from './workflows/durable.ts';
import { engineAlone } from './workflows/engine.ts';
import { overHttp } from './workflows/http.ts';
import { peers } from './workflows/peers.ts';

const HELP = `Usage: npm run bench -- workflows [--seconds N] [--executions N] [--peers FOLDER]

Workflows: the engine alone, durable executions in this process and over HTTP, the event loop under load, memory.

  --seconds N      time per figure, default 4
  --executions N   executions of the memory series, default 20,000 (the target is flat over 100,000)
  --peers FOLDER   folder with @langchain/langgraph installed, for the same graph there
`;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '4' },
      executions: { type: 'string', default: '20000' },
      peers: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const seconds = Number(values.seconds);
  engineAlone(seconds / 2);
  console.log();
  await peers(values.peers, seconds / 2);
  console.log();
  await overHttp(seconds);
  console.log();
  const folder = mkdtempSync(join(tmpdir(), 'koagent-bench-'));
  const server = await startServer(
    loadSettings({ PORT: '0', KOAGENT_LOG_LEVEL: 'error', KOAGENT_DATA_DIR: join(folder, 'data') }),
  );
  try {
    const bench = inProcess(server);
    await bench.rates(seconds);
    console.log();
    await bench.saturated(seconds);
    console.log();
    await bench.memory(Number(values.executions));
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
