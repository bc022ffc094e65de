import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { printTable } from '../table.ts';

/** Not a dependency of this project: it is measured where somebody has installed it. */
const PACKAGE = ['@langchain', 'langgraph'].join('/');

/** What is used of LangGraph.js. */
interface LangGraph {
  StateGraph: new (state: unknown) => StateGraph;
  Annotation: { Root(fields: Record<string, unknown>): unknown } & (() => unknown);
  MemorySaver: new () => unknown;
  START: string;
  END: string;
}
interface StateGraph {
  addNode(name: string, work: (state: Record<string, unknown>) => Record<string, unknown>): StateGraph;
  addEdge(from: string, to: string): StateGraph;
  compile(options?: { checkpointer: unknown }): {
    invoke(input: unknown, options?: unknown): Promise<Record<string, unknown>>;
  };
}

/**
 * The same three nodes in LangGraph.js, with its check-points in memory (nothing is durable there).
 *
 * @param folder where the package was installed: `npm i --prefix <folder> @langchain/langgraph @langchain/core`
 */
export async function peers(folder: string | undefined, seconds: number): Promise<void> {
  if (folder === undefined) {
    console.log('peers: none; install @langchain/langgraph into a folder and name it with --peers <folder>');
    return;
  }
  const require = createRequire(join(folder, 'x.js'));
  const langgraph = (await import(pathToFileURL(require.resolve(PACKAGE)).href)) as unknown as LangGraph;
  const { version } = require(join(folder, 'node_modules', PACKAGE, 'package.json')) as { version: string };
  const { StateGraph, Annotation, MemorySaver, START, END } = langgraph;
  const state = Annotation.Root({ text: Annotation(), n: Annotation() });
  const build = (options?: { checkpointer: unknown }) =>
    new StateGraph(state)
      .addNode('begin', (input) => input)
      .addNode('copy', ({ text, n }) => ({ text, n }))
      .addNode('finish', (input) => input)
      .addEdge(START, 'begin')
      .addEdge('begin', 'copy')
      .addEdge('copy', 'finish')
      .addEdge('finish', END)
      .compile(options);
  const row = async (name: string, graph: ReturnType<typeof build>, at: number) => {
    let count = 0;
    const begin = performance.now();
    const worker = async () => {
      while (performance.now() - begin < seconds * 1000) {
        count += 1;
        await graph.invoke({ text: 'x', n: 1 }, { configurable: { thread_id: String(count) } });
      }
    };
    await Promise.all(Array.from({ length: at }, worker));
    return [name, Math.round(count / ((performance.now() - begin) / 1000))];
  };
  printTable([
    [`LangGraph.js ${version}, same three nodes, in process`, 'executions/s'],
    await row('nothing stored, 1 at a time', build(), 1),
    await row('nothing stored, 32 at a time', build(), 32),
    await row('check-points in memory, 32 at a time', build({ checkpointer: new MemorySaver() }), 32),
  ]);
}
