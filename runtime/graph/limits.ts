export const GRAPH_LIMITS = {
  nodes: 10_000,
  edges: 50_000,
  /** Loops inside loops. */
  loopDepth: 16,
  /** Findings of one kind (errors, warnings) that are reported. */
  problems: 1000,
  loopItems: 10_000,
  steps: 1_000_000,
  loopConcurrency: 1000,
  /** Steps that are ready or running; with more, loops begin no further iteration beside one that is under way. */
  openSteps: 10_000,
  retries: 10,
  /** Output of one node, as JSON. */
  outputBytes: 32 * 1024 * 1024,
  /** Data that an execution holds at one time. */
  dataBytes: 128 * 1024 * 1024,
  /** Characters of a text that a template or an expression makes. */
  textChars: 10_000_000,
  retryDelayMs: 300_000,
} as const;
