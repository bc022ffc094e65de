import { hasHan } from './words.ts';

/** A term of the query with its weight in the index. */
export interface WeightedTerm {
  term: string;
  /** Inverse document frequency; 0 and more. */
  weight: number;
}

/** Weight of the characters of a Chinese word beside that of the word. */
const CHARACTERS_WEIGHT = 0.5;
const SPACE = 32;
const LINE_END = 10;

/** Something that a sentence may hold; counted once. */
interface Mark {
  text: string;
  weight: number;
  /** Number of the sentence that had it last. */
  seen: number;
}

/**
 * How well the best sentence of a passage fits the query: the sum of the weights of what it holds. A passage that has all terms in one
 * sentence is a better answer than one that has them scattered, which BM25 cannot tell apart. Beside the words it counts the characters
 * of Chinese words and pairs of neighbours within and across words: they find what the dictionary cut differently in the passage.
 */
export class SentenceWindow {
  /** What a sentence that holds everything would get. */
  readonly highest: number;
  /** Codes with which words or characters of the query begin: nearly all others are passed over by one look. */
  readonly #begins = new Uint8Array(65_536);
  readonly #words = new Map<number, Mark[]>();
  readonly #characters = new Map<number, Mark>();
  readonly #pairs = new Map<number, Mark>();
  #sentence = 0;

  /** @param terms in the order of the query */
  constructor(terms: readonly WeightedTerm[]) {
    let before: WeightedTerm | undefined;
    for (const word of terms) {
      this.#begin(word.term.charCodeAt(0));
      const sharing = this.#words.get(word.term.charCodeAt(0)) ?? [];
      sharing.push({ text: word.term, weight: word.weight, seen: 0 });
      this.#words.set(word.term.charCodeAt(0), sharing);
      if (!hasHan(word.term)) {
        before = undefined;
        continue;
      }
      const weight = word.weight * CHARACTERS_WEIGHT;
      const codes = [...word.term].map((character) => character.charCodeAt(0));
      for (const [at, code] of codes.entries()) {
        this.#begin(code);
        keep(this.#characters, code, String.fromCharCode(code), weight / codes.length);
        const next = codes[at + 1];
        if (next !== undefined) keep(this.#pairs, pairOf(code, next), '', weight);
      }
      const last = before?.term.charCodeAt(before.term.length - 1);
      if (before !== undefined && last !== undefined)
        keep(this.#pairs, pairOf(last, codes[0] ?? 0), '', Math.min(before.weight * CHARACTERS_WEIGHT, weight));
      before = word;
    }
    const marks = [...[...this.#words.values()].flat(), ...this.#characters.values(), ...this.#pairs.values()];
    this.highest = marks.reduce((sum, { weight }) => sum + weight, 0);
  }

  /** @param indexed the passage as `indexedText` gives it */
  best(indexed: string): number {
    let best = 0;
    let score = 0;
    this.#sentence += 1;
    const count = (mark: Mark | undefined) => {
      if (mark === undefined || mark.seen === this.#sentence) return;
      mark.seen = this.#sentence;
      score += mark.weight;
    };
    let starts = true;
    for (let at = 0; at < indexed.length; at++) {
      const code = indexed.charCodeAt(at);
      if (code === LINE_END) {
        if (score > best) best = score;
        score = 0;
        this.#sentence += 1;
        starts = true;
        continue;
      }
      if (code === SPACE) {
        starts = true;
        continue;
      }
      if (this.#begins[code] === 1) {
        if (starts) for (const mark of this.#words.get(code) ?? []) if (isWordAt(indexed, at, mark.text)) count(mark);
        count(this.#characters.get(code));
        const near = indexed.charCodeAt(at + 1);
        count(this.#pairs.get(pairOf(code, near === SPACE ? indexed.charCodeAt(at + 2) : near)));
      }
      starts = false;
    }
    return Math.max(best, score);
  }

  #begin(code: number): void {
    this.#begins[code] = 1;
  }
}

const pairOf = (first: number, second: number) => first * 65_536 + second;

function keep(marks: Map<number, Mark>, key: number, text: string, weight: number): void {
  const known = marks.get(key);
  if (known === undefined) marks.set(key, { text, weight, seen: 0 });
  else known.weight = Math.max(known.weight, weight);
}

function isWordAt(indexed: string, at: number, word: string): boolean {
  if (!indexed.startsWith(word, at)) return false;
  const end = at + word.length;
  return end === indexed.length || indexed.charCodeAt(end) === SPACE || indexed.charCodeAt(end) === LINE_END;
}
