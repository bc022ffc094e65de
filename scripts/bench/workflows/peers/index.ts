import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { printTable } from '../../table.ts';
import { langGraph } from './langgraph.ts';
import { mastra } from './mastra.ts';
import { nodeRed } from './node-red.ts';

/** A package of a folder that somebody has installed; none of them is a dependency of this project. */
export interface Installed {
  version: string;
  /** Imports a module by its full name. */
  load<T>(specifier: string): Promise<T>;
  resolve(specifier: string): string;
}

/** Name, concurrency, executions a second. */
export type PeerRow = [name: string, atOnce: number, rate: number];

const PEERS: { name: string; packages: string[]; measure(peer: Installed, seconds: number): Promise<PeerRow[]> }[] = [
  { name: 'langgraph', packages: ['@langchain/langgraph', '@langchain/core'], measure: langGraph },
  { name: 'mastra', packages: ['@mastra/core', '@mastra/libsql', 'zod'], measure: mastra },
  { name: 'node-red', packages: ['node-red'], measure: nodeRed },
];

/** How to install what `folder` should hold. */
export const installHint = (folder: string): string =>
  PEERS.map(
    ({ name, packages }) =>
      `  npm i --prefix ${join(folder, name)} ${packages.map((name) => `${name}@latest`).join(' ')}`,
  ).join('\n');

/**
 * start -> transform -> end in other engines, each as its makers document it, in the versions that are installed in
 * `<folder>/<name>`.
 */
export async function peers(folder: string | undefined, seconds: number): Promise<void> {
  if (folder === undefined) {
    console.log(
      `peers: none. Install those that are wanted and name the folder with --peers:\n${installHint('<folder>')}`,
    );
    return;
  }
  const rows: (string | number)[][] = [['peers, the same three nodes', 'at once', 'executions/s']];
  for (const { name, packages, measure } of PEERS) {
    const found = find(join(folder, name), packages[0] ?? '');
    if (found) rows.push(...(await measure(found, seconds)));
    else rows.push([`${name}: not installed in ${join(folder, name)}`, '', '']);
  }
  printTable(rows);
}

function find(folder: string, name: string): Installed | undefined {
  const require = createRequire(join(folder, 'x.js'));
  try {
    const { version } = require(join(folder, 'node_modules', name, 'package.json')) as { version: string };
    return {
      version,
      resolve: (specifier) => require.resolve(specifier),
      load: async <T>(specifier: string) => (await import(pathToFileURL(require.resolve(specifier)).href)) as T,
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Executions a second. */
export async function rateOf(
  seconds: number,
  atOnce: number,
  work: (count: number) => Promise<unknown>,
): Promise<number> {
  let count = 0;
  const begin = performance.now();
  const worker = async () => {
    while (performance.now() - begin < seconds * 1000) {
      count += 1;
      await work(count);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return Math.round(count / ((performance.now() - begin) / 1000));
}
