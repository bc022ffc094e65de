/** How well questions find their passages. Shares are 0-1, times milliseconds. */
export interface Measurement {
  questions: number;
  /** Share of the questions whose first right passage is among the first 1, 5, 10. */
  recall: { at1: number; at5: number; at10: number };
  /** Mean of 1 / rank of the first right passage, 0 beyond the tenth. */
  mrr: number;
  p50: number;
  p99: number;
}

export const DEPTH = 10;

/**
 * Asks all questions one after another.
 *
 * @param ask gives, for the first `DEPTH` passages in order, whether each is a right one
 */
export async function measure<Q>(
  questions: readonly Q[],
  ask: (question: Q) => Promise<readonly boolean[]> | readonly boolean[],
): Promise<Measurement> {
  const found = [0, 0, 0];
  const times: number[] = [];
  let reciprocal = 0;
  for (const question of questions) {
    const started = performance.now();
    const right = await ask(question);
    times.push(performance.now() - started);
    const rank = right.slice(0, DEPTH).indexOf(true) + 1;
    if (rank === 0) continue;
    reciprocal += 1 / rank;
    for (const [at, depth] of [1, 5, DEPTH].entries()) if (rank <= depth) found[at] = (found[at] ?? 0) + 1;
  }
  const sorted = times.sort((a, b) => a - b);
  const percentile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const count = questions.length || 1;
  const [at1 = 0, at5 = 0, at10 = 0] = found.map((number) => number / count);
  return {
    questions: questions.length,
    recall: { at1, at5, at10 },
    mrr: reciprocal / count,
    p50: percentile(0.5),
    p99: percentile(0.99),
  };
}
