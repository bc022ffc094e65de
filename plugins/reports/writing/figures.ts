import type { ReportLanguage } from '../render/document.ts';

/** A figure in a text that the material does not bear out. */
export interface UnverifiedFigure {
  figure: string;
  sentence: string;
}

interface Figure {
  text: string;
  /** Index after the figure and its unit. */
  end: number;
  start: number;
  value: number;
  /** Power of ten of the unit (万 = 4); undefined without one. */
  scale: number | undefined;
  percent: boolean;
  decimals: number;
}

/** Powers of ten. */
const SCALES: Readonly<Record<string, number>> = {
  千: 3,
  万: 4,
  百万: 6,
  千万: 7,
  亿: 8,
  万亿: 12,
  thousand: 3,
  million: 6,
  billion: 9,
  trillion: 12,
};

// Not inside a word, an id or a longer number; `[D1]` and `ku_001` are no figures.
const FIGURE =
  /(?<![A-Za-z0-9_.,])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![A-Za-z0-9_]*[A-Za-z_])\s*(%|％|‰|个百分点|万亿|亿|千万|百万|万|千|thousand|million|billion|trillion|percentage points|percent)?(?:元|美元|港元|股|人|户|家|吨|倍|年|天|笔|平方米)?/gu;

/** Full-width digits and signs as ASCII, one for one, so that positions stay. */
const narrow = (text: string): string =>
  text.replace(/[０-９．，％]/gu, (sign) => String.fromCharCode(sign.charCodeAt(0) - 0xfee0));

function figuresOf(text: string): Figure[] {
  const plain = text.replace(/[０-９．％]/gu, narrow);
  return [...plain.matchAll(FIGURE)].map((match) => {
    const [whole, integer = '0', fraction = '', unit] = match;
    const percent = unit !== undefined && /[%％‰点]|percent/.test(unit);
    return {
      text: text.slice(match.index, match.index + whole.trimEnd().length),
      start: match.index,
      end: match.index + whole.trimEnd().length,
      value: Number(integer.replaceAll(',', '') + fraction),
      scale: unit === undefined || percent ? undefined : SCALES[unit],
      percent,
      decimals: Math.max(0, fraction.length - 1),
    };
  });
}

/** Numbers that structure a text rather than state a fact: `3 个方面`, `第 2 条`. */
const isTrivial = ({ value, decimals, percent, scale }: Figure): boolean =>
  decimals === 0 && !percent && scale === undefined && value < 10;

/** What `value` may be off by when it was rounded to its decimals. */
const tolerance = (decimals: number) => 0.5 * 10 ** -decimals + 1e-9;

/** The same number, perhaps rounded, perhaps in another unit. */
function bears(source: Figure, claim: Figure): boolean {
  const near = (value: number) => Math.abs(value - claim.value) <= tolerance(claim.decimals) + Math.abs(value) * 1e-12;
  if (near(source.value) && (source.scale === claim.scale || source.scale === undefined || claim.scale === undefined))
    return true;
  if (claim.percent) return !source.percent && near(source.value * 100);
  // The unit of a source may stand in a title (`单位：万元`): then any of the usual ones will do.
  const scales = source.scale === undefined ? [0, 3, 4, 6, 8] : [source.scale];
  return scales.some((scale) => near(source.value * 10 ** (scale - (claim.scale ?? 0))));
}

const MARK: Record<ReportLanguage, string> = { zh: '（待核实）', en: ' (unverified)' };

/** Sources with more figures than this are sampled no further; the check stays quick. */
const MAX_FIGURES = 20_000;

/**
 * Looks up every figure of a text in the sources it was written from. A figure that no source bears out gets a visible
 * mark behind it: a reader who signs the report must see it, and a removed sentence could turn the sense of its neighbours.
 */
export function createFigureCheck(sources: readonly string[], language: ReportLanguage) {
  const known = sources.flatMap(figuresOf).slice(0, MAX_FIGURES);
  const exact = new Set(known.map(({ value }) => value));

  return (text: string): { text: string; unverified: UnverifiedFigure[] } => {
    const unverified: UnverifiedFigure[] = [];
    let marked = '';
    let at = 0;
    for (const figure of figuresOf(text)) {
      const found =
        isTrivial(figure) ||
        (exact.has(figure.value) && known.some((source) => source.value === figure.value && bears(source, figure))) ||
        known.some((source) => bears(source, figure));
      if (found) continue;
      unverified.push({ figure: figure.text, sentence: sentenceAt(text, figure.start) });
      marked += text.slice(at, figure.end) + MARK[language];
      at = figure.end;
    }
    return { text: marked + text.slice(at), unverified };
  };
}

function sentenceAt(text: string, at: number): string {
  const start = Math.max(...['。', '！', '？', '；', '\n'].map((end) => text.lastIndexOf(end, at - 1) + 1), 0);
  const ends = ['。', '！', '？', '；', '\n'].map((end) => text.indexOf(end, at)).filter((end) => end >= 0);
  return text
    .slice(start, ends.length > 0 ? Math.min(...ends) + 1 : undefined)
    .trim()
    .slice(0, 300);
}
