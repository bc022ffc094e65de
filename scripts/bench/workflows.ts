import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadSettings } from '../../config/settings.ts';
import { startServer } from '../server.ts';
import { inProcess } from './workflows/durable.ts';
import { engineAlone } from './workflows/engine.ts';
import { overHttp } from './workflows/http.ts';
import { installHint, peers } from './workflows/peers/index.ts';

type Part = 'engine' | 'peers' | 'http' | 'rates' | 'saturated' | 'memory';

const PARTS: Readonly<Record<Part, string>> = {
  engine: 'steps a second of the engine alone, nothing stored',
  peers: 'the same three nodes in other engines',
  http: 'durable executions over HTTP at 1, 16 and 64 clients, beside bare Koa',
  rates: 'durable executions in this process: small ones, 1,000 nodes, 1,000 branches, a loop of 10,000',
  saturated: 'delay of the event loop while code nodes keep the worker pool busy',
  memory: 'memory while executions come and go',
};

const HELP = `Usage: npm run bench -- workflows [--only PART,PART] [--seconds N] [--executions N | --large] [--peers FOLDER]

${Object.entries(PARTS)
  .map(([name, about]) => `  ${name.padEnd(10)} ${about}`)
  .join('\n')}

  --seconds N      time per figure, default 4
  --executions N   executions of the memory series, default 20,000
  --large          100,000 of them: the target is flat
  --peers FOLDER   where other engines are installed:
${installHint('FOLDER')}
`;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      seconds: { type: 'string', default: '4' },
      executions: { type: 'string', default: '20000' },
      large: { type: 'boolean', default: false },
      peers: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const wanted = new Set(values.only?.split(',') ?? Object.keys(PARTS));
  const unknown = [...wanted].find((part) => !Object.hasOwn(PARTS, part));
  if (unknown !== undefined) throw new Error(`There is no part ${unknown}; there are ${Object.keys(PARTS).join(', ')}`);
  const seconds = Number(values.seconds);
  const part = async (name: Part, work: () => unknown) => {
    if (!wanted.has(name)) return;
    await work();
    console.log();
  };
  await part('engine', () => engineAlone(seconds / 2));
  await part('peers', () => peers(values.peers, seconds / 2));
  await part('http', () => overHttp(seconds));
  if (!(['rates', 'saturated', 'memory'] as const).some((name) => wanted.has(name))) return;

  const folder = mkdtempSync(join(tmpdir(), 'koagent-bench-'));
  const server = await startServer(
    loadSettings({ PORT: '0', KOAGENT_LOG_LEVEL: 'error', KOAGENT_DATA_DIR: join(folder, 'data') }),
  );
  try {
    const bench = inProcess(server);
    await part('rates', () => bench.rates(seconds));
    await part('saturated', () => bench.saturated(seconds));
    await part('memory', () => bench.memory(values.large ? 100_000 : Number(values.executions)));
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
