/**
 * `npm run bench`: prints what the server does on this machine, each figure beside a baseline of the same run.
 * `npm run bench -- <names>` runs single parts.
 */
import { cpus, totalmem } from 'node:os';

/** Parts in the order in which they run; each module exports `run(args)`. */
const PARTS: Readonly<Record<string, string>> = {
  http: 'requests a second against a bare Koa server',
  reports: 'time from report request to finished PDF',
  workflows: 'workflows: engine, durable executions, HTTP, memory (npm run bench -- workflows --help)',
  chat: 'answers of a model forwarded to 1, 100 and 500 clients (npm run bench -- chat --help)',
  runs: 'durable runs, event appends, fan-out in process',
  fanout: 'events of one run to 1, 100 and 1000 SSE clients',
  start: 'start time to ready, memory idle and under load',
  pool: 'worker lanes against bare Piscina',
  knowledge: 'imports, and the search index beside MiniSearch and Orama (npm run bench -- knowledge --help)',
  store: 'the embedded store (its sizes are arguments: npm run bench -- store --help)',
};
/** Parts that run when none is named; the store's take long. */
const DEFAULT = ['http', 'reports', 'runs', 'fanout', 'start', 'pool'];

const args = process.argv.slice(2);
const named = args.filter((argument) => Object.hasOwn(PARTS, argument));
if (named.length === 0 && args.includes('--help')) {
  console.log('usage: npm run bench -- [parts] [their options]\n');
  for (const [name, about] of Object.entries(PARTS)) console.log(`  ${name.padEnd(8)} ${about}`);
  process.exit(0);
}
const unknown = args.find((argument, at) => at === 0 && !argument.startsWith('-') && !Object.hasOwn(PARTS, argument));
if (unknown !== undefined) {
  console.error(`unknown part ${unknown}; known: ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}

console.log(
  `Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB\n`,
);
for (const name of named.length > 0 ? named : DEFAULT) {
  console.log(`## ${name}: ${PARTS[name]}`);
  const { run } = (await import(new URL(`./bench/${name}.ts`, import.meta.url).href)) as {
    run(args: string[]): Promise<void>;
  };
  await run(args.filter((argument) => argument !== name));
  console.log();
}
