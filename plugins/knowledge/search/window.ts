import { hasHan } from './words.ts';

/** A term of the query with its weight in the index. */
export interface WeightedTerm {
  term: string;
  /** Inverse document frequency; 0 and more. */
  weight: number;
}

/** Weight of a pair of Chinese characters beside that of the word it comes from. */
const PAIR_WEIGHT = 0.5;

interface Pair {
  text: string;
  weight: number;
}

/**
 * Pairs of characters within and across the Chinese words of a query. They find what the dictionary cut differently in the passage.
 */
export function pairsOf(terms: readonly WeightedTerm[]): Pair[] {
  const pairs = new Map<string, number>();
  const add = (text: string, weight: number) => pairs.set(text, Math.max(pairs.get(text) ?? 0, weight * PAIR_WEIGHT));
  let before: WeightedTerm | undefined;
  for (const word of terms) {
    if (!hasHan(word.term)) {
      before = undefined;
      continue;
    }
    const characters = [...word.term];
    for (const character of characters) add(character, word.weight / characters.length);
    for (let at = 0; at + 1 < characters.length; at++) add(`${characters[at]}${characters[at + 1]}`, word.weight);
    if (before !== undefined) add(`${[...before.term].at(-1)}${characters[0]}`, Math.min(before.weight, word.weight));
    before = word;
  }
  return [...pairs].map(([text, weight]) => ({ text, weight }));
}

/**
 * How well the best sentence of a passage fits the query: the sum of the weights of what it holds. A passage that has all terms in one
 * sentence is a better answer than one that has them scattered, which BM25 cannot tell apart.
 *
 * @param indexed the passage as `indexedText` gives it
 */
export function bestWindow(indexed: string, terms: readonly WeightedTerm[], pairs: readonly Pair[]): number {
  let best = 0;
  for (const sentence of indexed.split('\n')) {
    const bounded = ` ${sentence} `;
    let score = 0;
    for (const { term, weight } of terms) if (bounded.includes(` ${term} `)) score += weight;
    if (pairs.length > 0) {
      const joined = sentence.replaceAll(' ', '');
      for (const { text, weight } of pairs) if (joined.includes(text)) score += weight;
    }
    if (score > best) best = score;
  }
  return best;
}
