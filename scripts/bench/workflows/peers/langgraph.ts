import { type Installed, type PeerRow, rateOf } from './index.ts';

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

/** LangGraph.js in this process: without check-points, and with its check-points in memory (nothing is durable there). */
export async function langGraph({ version, load }: Installed, seconds: number): Promise<PeerRow[]> {
  const { StateGraph, Annotation, MemorySaver, START, END } = await load<LangGraph>('@langchain/langgraph');
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
  const row = async (name: string, graph: ReturnType<typeof build>, at: number): Promise<PeerRow> => [
    `LangGraph.js ${version}, ${name}`,
    at,
    await rateOf(seconds, at, (count) =>
      graph.invoke({ text: 'x', n: 1 }, { configurable: { thread_id: String(count) } }),
    ),
  ];
  return [
    await row('nothing stored', build(), 1),
    await row('nothing stored', build(), 32),
    await row('check-points in memory', build({ checkpointer: new MemorySaver() }), 32),
  ];
}
