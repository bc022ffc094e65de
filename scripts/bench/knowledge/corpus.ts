/** Made-up text with the statistics of real one: frequent words and rare ones, sentences, two languages. The same for the same seed. */
export interface Corpus {
  /** A text of about 500 characters. */
  passage(): string;
  /** A question that one sentence of the text answers. */
  question(passage: string): string;
}

/** The 3755 common characters of GB 2312, in the order of their pronunciation. */
const CHARACTERS = [
  ...new TextDecoder('gbk').decode(
    Uint8Array.from({ length: 3755 * 2 }, (_, at) => {
      const number = at >> 1;
      return at % 2 === 0 ? 0xb0 + Math.floor(number / 94) : 0xa1 + (number % 94);
    }),
  ),
];
/** Random pairs of which the dictionary's words are kept: text of random pairs would be cut into single characters, unlike real text. */
const TRIES = 1_200_000;
/** Flattens the head of Zipf's law: content words, beside the glue, are rarely in every passage. */
const FLAT = 60;
const GLUE = ['的', '了', '在', '是', '和', '与', '对', '为', '由', '等', '并', '及', '将', '以', '从'];
const ENGLISH =
  'system data risk model bank loan market plan report clinical trial result method energy power city water river history language science design project budget quality safety'.split(
    ' ',
  );

let words: string[] | undefined;

/** Words of two characters that ICU knows, in a random order that is always the same. */
function dictionaryWords(): string[] {
  if (words) return words;
  let state = 11;
  const character = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return CHARACTERS[Math.floor((state / 2 ** 32) * CHARACTERS.length)] ?? '';
  };
  const segmenter = new Intl.Segmenter('zh', { granularity: 'word' });
  const found = new Set<string>();
  for (let tried = 0; tried < TRIES; tried += 1000) {
    const pairs = Array.from({ length: 1000 }, () => character() + character()).join('。');
    for (const { segment } of segmenter.segment(pairs)) if (segment.length === 2) found.add(segment);
  }
  words = [...found];
  return words;
}

export function createCorpus(seed: number): Corpus {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const lexicon = dictionaryWords();
  const count = lexicon.length;
  /** Zipf and Mandelbrot: the word of rank r has a share of about 1 / (r + FLAT). */
  const word = () => lexicon[Math.floor(FLAT * ((count + FLAT) / FLAT) ** random() - FLAT)] ?? '';
  const sentence = () => {
    const words = Array.from({ length: 8 + Math.floor(random() * 10) }, () => {
      const chance = random();
      if (chance < 0.3) return pick(GLUE);
      return chance < 0.33 ? ` ${pick(ENGLISH)} ` : word();
    });
    return `${words.join('')}${random() < 0.2 ? `达到${Math.floor(random() * 100_000)}` : ''}。`;
  };
  return {
    passage() {
      let text = '';
      while (text.length < 480) text += sentence();
      return text;
    },
    question(passage) {
      const sentences = passage.split('。').filter(Boolean);
      const chosen = pick(sentences);
      const from = Math.floor(random() * Math.max(1, chosen.length - 14));
      return `${chosen.slice(from, from + 14)}是什么？`;
    },
  };
}
