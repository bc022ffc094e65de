const segmenter = new Intl.Segmenter('zh', { granularity: 'word' });

const STOP = new Set(
  (
    '的 了 和 与 及 或 在 是 为 对 等 中 将 并 以 于 由 其 该 此 这 那 有 无 不 也 都 就 而 被 把 从 到 向 请 您 你 我 他 她 它 们 我们 你们 他们 ' +
    '根据 依据 按照 以下 上述 所 给 进行 关于 一个 一份 以及 需要 要求 可以 应当 如果 如何 什么 多少 哪些 哪个 哪里 怎么 怎样 为什么 是否 吗 呢 吧 谁 几 ' +
    '撰写 编写 生成 起草 写 输出 回答 总结 概括 说明 使用 使用 内容 资料 材料 正文 章节 章 节 第 ' +
    'the a an and or of in on at to for from by with as is are was were be been it its this that these those which who whom whose ' +
    'what when where why how many much do does did can could should would will shall may might must not no yes please you your i we our they their ' +
    'write draft summarize summarise answer question following based given about into than then there here also'
  ).split(' '),
);

/** The words of a text in order, lower case, without stop words and single Latin letters. */
export const contentWords = (text: string): string[] => {
  const words: string[] = [];
  for (const { segment, isWordLike } of segmenter.segment(text)) {
    if (!isWordLike) continue;
    const word = segment.toLowerCase();
    if (STOP.has(word) || /^[a-z]$/.test(word)) continue;
    words.push(word);
  }
  return words;
};

/** Words and, for Chinese, their pairs of characters, so that 营业总收入 is found by 收入. */
const terms = (text: string): string[] => {
  const all: string[] = [];
  for (const word of contentWords(text)) {
    all.push(word);
    if (/^\p{Script=Han}{3,}$/u.test(word))
      for (let at = 0; at + 2 <= word.length; at += 1) all.push(word.slice(at, at + 2));
  }
  return all;
};

/**
 * The words that say what a text is about: distinct, in order, without numbers. A single character is joined to the word
 * after it (新 能源, 碳 排放), which is how the segmenter splits what it does not know.
 */
export const keywords = (text: string, limit: number): string[] => {
  const words = new Set<string>();
  let head = '';
  for (const { segment, isWordLike } of segmenter.segment(text)) {
    const word = segment.toLowerCase();
    const han = /^\p{Script=Han}+$/u.test(word);
    if (!isWordLike || STOP.has(word) || /^[\d.,]+$/.test(word)) head = '';
    else if (han && word.length === 1) head += word;
    else {
      if (word.length > 1) words.add(han ? head + word : word);
      head = '';
    }
    if (words.size === limit) break;
  }
  return [...words];
};

export const isChinese = (text: string): boolean => {
  const han = text.match(/\p{Script=Han}/gu)?.length ?? 0;
  const latin = text.match(/[A-Za-z]+/g)?.length ?? 0;
  return han > 0 && han >= latin;
};

/** BM25 of each text for the query; 0 means that no word is shared. */
export const relevance = (query: string, texts: readonly string[]): number[] => {
  const wanted = new Set(terms(query));
  if (wanted.size === 0) return texts.map(() => 0);
  const counted = texts.map((text) => {
    const list = terms(text);
    const counts = new Map<string, number>();
    for (const term of list) if (wanted.has(term)) counts.set(term, (counts.get(term) ?? 0) + 1);
    return { counts, length: list.length };
  });
  const average = counted.reduce((sum, { length }) => sum + length, 0) / Math.max(1, counted.length) || 1;
  const documents = new Map<string, number>();
  for (const { counts } of counted)
    for (const term of counts.keys()) documents.set(term, (documents.get(term) ?? 0) + 1);
  return counted.map(({ counts, length }) => {
    let score = 0;
    for (const [term, count] of counts) {
      const inverse = Math.log(1 + texts.length / (documents.get(term) ?? 1));
      score += (inverse * count * 1.9) / (count + 0.9 * (0.25 + (0.75 * length) / average));
    }
    return score;
  });
};

/**
 * The part (0-1) of the query's words that the texts share, rare words counting more; a word that stands nowhere in `all`
 * counts as the rarest.
 */
export const coverage = (query: string, texts: readonly string[], all: readonly string[]): number => {
  const wanted = [...new Set(contentWords(query))];
  const lower = all.map((text) => text.toLowerCase());
  const found = texts.join('\n').toLowerCase();
  let total = 0;
  let shared = 0;
  for (const word of wanted) {
    const documents = lower.filter((text) => text.includes(word)).length;
    const weight = Math.log(1 + all.length / Math.max(1, documents));
    total += weight;
    if (found.includes(word)) shared += weight;
  }
  return total === 0 ? 0 : shared / total;
};
