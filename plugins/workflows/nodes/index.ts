/** The files of the node types that run in the worker pool; the control nodes are carried out by the engine itself. */
export const nodeFiles: URL[] = ['llm', 'agent', 'http', 'data-source', 'knowledge', 'code', 'transform-large'].map(
  (name) => new URL(`./${name}.ts`, import.meta.url),
);
