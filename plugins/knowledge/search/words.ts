import { stemmer } from 'stemmer';
import { simplified } from './simplified.ts';

/**
 * How text becomes the terms of the index. Documents and queries go the same way: compatibility forms are folded (full width, ligatures,
 * radicals), traditional characters become simplified ones, case and Latin accents are dropped, words are cut by the dictionary of ICU, English words are stemmed.
 */
const segmenter = new Intl.Segmenter('zh', { granularity: 'word' });

const LATIN_WORD = /^[a-z]+$/;
const ACCENTED = /[\u00c0-\u024f\u1e00-\u1eff]/;
/** Letters and digits, with the marks that some scripts write their vowels with; and pictures that people search for. */
const NOT_TERM = /[^\p{L}\p{N}\p{M}\p{Extended_Pictographic}]+/gu;
const HAS_TERM = /[\p{L}\p{N}\p{Extended_Pictographic}]/u;
/** Signs that are not seen: places where a line may break, directions of text. */
const UNSEEN = /[\p{Cf}\p{Variation_Selector}]/gu;
/** Longer ones are noise (hashes, base64) and would only swell the vocabulary. */
const LONGEST_TERM = 64;

/** Raised when the terms of a text change: indexes made before it are built anew. */
export const WORDS_VERSION = 3;

const fold = (text: string): string => {
  const folded = simplified(text.replace(UNSEEN, '').normalize('NFKC').toLowerCase());
  return ACCENTED.test(folded) ? folded.normalize('NFD').replace(/\p{M}/gu, '').normalize('NFC') : folded;
};

/** Terms of a text in order. A term holds no blanks, so that a passage can be kept as its terms. */
export function termsOf(text: string): string[] {
  const terms: string[] = [];
  for (const { segment } of segmenter.segment(fold(text))) {
    if (!HAS_TERM.test(segment)) continue;
    const word = LATIN_WORD.test(segment) ? stemmer(segment) : segment.replace(NOT_TERM, '_').replace(/^_|_$/g, '');
    if (word !== '') terms.push(word.slice(0, LONGEST_TERM));
  }
  return terms;
}

/** Terms of letters and digits, or with signs inside: model names, versions, addresses. */
const COMPOSED = /_|\d\p{L}|\p{L}\d/u;
const PART = /\d+(?:_\d+)*|[^\d_]+/gu;

/** Parts of a term that people also ask for by themselves: `v2_15_3` has `v` and `2_15_3`, `a320neo` has `320`. */
export function partsOf(term: string): string[] {
  if (!COMPOSED.test(term)) return [];
  const parts = (term.match(PART) ?? []).map((part) => (LATIN_WORD.test(part) ? stemmer(part) : part));
  return [...new Set(parts)].filter((part) => part !== term);
}

const SENTENCE_END = /(?<=[。！？；!?;\n])|(?<=\.)(?=\s)/;

/** The form in which a passage is indexed: terms apart by spaces, one sentence a line. */
export function indexedText(text: string): string {
  const lines: string[] = [];
  for (const sentence of text.split(SENTENCE_END)) {
    const terms = termsOf(sentence);
    if (terms.length > 0) lines.push(terms.join(' '));
  }
  return lines.join('\n');
}

/** Words that ask instead of naming what is looked for. Taking out more than these does nothing or harms (measured). */
const ASKING_ZH =
  /为[什甚]么|[什甚]么时候|[什甚]么样|[什甚]么|为何|哪[个些年位种家座部支条国里儿]?|谁|怎么样|怎么|怎样|如何|多少|多大|多长|多久|几[个年位种次]|是否|请问|何时|何地|何人|何|吗|呢/g;
const ASKING_EN = new Set(
  'what who whom whose which when where why how many much what_s who_s where_s when_s how_s'.split(' '),
);

/** What is left of a question when the words that only ask are gone; the question itself when nothing is. */
export function queryTerms(query: string): string[] {
  const asked = fold(query);
  const kept = termsOf(asked.replace(ASKING_ZH, ' ')).filter((term) => !ASKING_EN.has(term));
  return [...new Set(kept.length > 0 ? kept : termsOf(asked))];
}

const HAN = /\p{Script=Han}/u;
export const hasHan = (text: string): boolean => HAN.test(text);
