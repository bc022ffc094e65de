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
  retryDelayMs: 300_000,
} as const;
