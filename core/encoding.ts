import { analyse } from 'chardet';

/** Names that both the detector and `TextDecoder` know; other guesses of the detector are not taken. */
const GUESSES: Readonly<Record<string, string>> = {
  GB18030: 'gb18030',
  Big5: 'big5',
  'UTF-16LE': 'utf-16le',
  'UTF-16BE': 'utf-16be',
  Shift_JIS: 'shift_jis',
  'EUC-JP': 'euc-jp',
  'EUC-KR': 'euc-kr',
  'windows-1252': 'windows-1252',
  'ISO-8859-1': 'windows-1252',
};
const SAMPLE = 64 * 1024;

const decode = (bytes: Uint8Array, encoding: string, fatal: boolean) =>
  new TextDecoder(encoding, { fatal }).decode(bytes);

function strict(bytes: Uint8Array, encoding: string): string | undefined {
  try {
    return decode(bytes, encoding, true);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

const hasUtf16Mark = (bytes: Uint8Array) =>
  (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);

/**
 * Text has no control characters but blanks; UTF-16 without a mark has many zeros, all on even or all on odd places.
 *
 * @param bytes the beginning of a file; 4 KiB are looked at
 */
export function looksLikeText(bytes: Uint8Array): boolean {
  if (hasUtf16Mark(bytes)) return true;
  const length = Math.min(bytes.byteLength, 4096);
  const zeros = [0, 0];
  let controls = 0;
  for (let at = 0; at < length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0) zeros[at % 2] = (zeros[at % 2] ?? 0) + 1;
    else if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13 && byte !== 12 && byte !== 27) controls++;
  }
  const [even = 0, odd = 0] = zeros;
  if (even + odd > 0) return Math.min(even, odd) === 0 && isUtf16(bytes.subarray(0, length), odd > 0);
  return controls <= length / 200;
}

/** Nearly all of it is what people write: ASCII, Latin, Chinese, Japanese, Korean. */
function isUtf16(bytes: Uint8Array, little: boolean): boolean {
  const text = new TextDecoder(little ? 'utf-16le' : 'utf-16be').decode(bytes.subarray(0, bytes.byteLength & ~1));
  const written = text.match(
    /[\t\r\n\x20-\x7e\u00a0-\u024f\u2010-\u2027\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef]/g,
  );
  return text.length > 0 && (written?.length ?? 0) > text.length * 0.95;
}

/**
 * Decodes a text file by what its bytes say: a mark, valid UTF-8, else the likeliest of the encodings that are valid for it.
 *
 * @returns undefined when no encoding fits
 */
export function decodeText(bytes: Uint8Array): { text: string; encoding: string } | undefined {
  const found = (text: string, encoding: string) => ({ text: text.replace(/^\ufeff/, ''), encoding });
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return found(decode(bytes, 'utf-16le', false), 'utf-16le');
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return found(decode(bytes, 'utf-16be', false), 'utf-16be');
  // A stray zero or two makes no other encoding of it.
  const utf8 = hasManyZeros(bytes) ? undefined : strict(bytes, 'utf-8');
  if (utf8 !== undefined) return found(utf8, 'utf-8');
  const sample = bytes.subarray(0, SAMPLE);
  const utf16 = utf16WithoutMark(sample);
  if (utf16 !== undefined) return found(decode(bytes, utf16, false), utf16);

  const candidates = analyse(sample)
    .map(({ name, confidence }) => ({ encoding: GUESSES[name], confidence }))
    .filter((guess): guess is { encoding: string; confidence: number } => guess.encoding !== undefined);
  const western = likeness(decode(sample, 'windows-1252', false), 'windows-1252') > 0;
  for (const encoding of ['gb18030', 'big5', ...(western ? ['windows-1252'] : [])])
    if (!candidates.some((guess) => guess.encoding === encoding)) candidates.push({ encoding, confidence: 0 });
  const scored = candidates
    .map(({ encoding, confidence }) => ({
      encoding,
      score: confidence / 200 + (PRIOR[encoding] ?? 0) + likeness(decode(sample, encoding, false), encoding),
    }))
    .sort((a, b) => b.score - a.score);
  for (const { encoding } of scored) {
    const text = strict(bytes, encoding);
    if (text !== undefined) return found(text, encoding);
  }
  // Some bytes are broken in every encoding: the likeliest one, with marks where they stood.
  const [likeliest] = scored;
  const text = likeliest ? decode(bytes, likeliest.encoding, false) : '';
  const lost = text.split('\ufffd').length - 1;
  if (likeliest === undefined || lost > text.length / 100) return undefined;
  return found(text, likeliest.encoding);
}

function hasManyZeros(bytes: Uint8Array): boolean {
  const sample = bytes.subarray(0, SAMPLE);
  return sample.filter((byte) => byte === 0).length * 10 > sample.byteLength;
}

/** UTF-16 without a mark: blanks and ASCII have a zero on one side, and one of the two readings is what people write. */
function utf16WithoutMark(sample: Uint8Array): 'utf-16le' | 'utf-16be' | undefined {
  if (sample.byteLength % 2 !== 0 && sample.byteLength < SAMPLE) return undefined;
  const [little, big] = [decode(sample, 'utf-16le', false), decode(sample, 'utf-16be', false)].map(
    (text) => (text.match(EVERYDAY)?.length ?? 0) / text.length + commonShare(text),
  ) as [number, number];
  if (Math.max(little, big) < (sample.includes(0) ? 0.9 : 1.1)) return undefined;
  return little >= big ? 'utf-16le' : 'utf-16be';
}

/** What short texts of this product's users are, when nothing else tells. */
const PRIOR: Readonly<Record<string, number>> = { gb18030: 0.15, big5: 0.05 };
const EVERYDAY = /[\t\r\n\x20-\x7e\u2010-\u2027\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef]/g;

/** How much a text looks like one of a language that the encoding is for. */
function likeness(text: string, encoding: string): number {
  const wide = text.replace(/[^\u0080-\uffff]/g, '');
  const share = (pattern: RegExp) => (wide.match(pattern)?.length ?? 0) / (wide.length || 1);
  switch (encoding) {
    case 'gb18030':
    case 'big5':
      return commonShare(text) + 0.3 * share(/[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]/g);
    case 'shift_jis':
    case 'euc-jp':
      return share(/[\u3040-\u30ff]/g) > 0.1 ? 0.5 : -0.3;
    case 'euc-kr':
      return share(/[\uac00-\ud7af]/g) > 0.8 ? 0.3 : -0.3;
    default:
      // Letters with accents stand among letters without.
      return (text.match(/[a-z]/gi)?.length ?? 0) > wide.length * 2 ? 0.2 : -0.3;
  }
}

/** The commonest characters of Chinese text, simplified and traditional: about a quarter of any text is made of them. */
const COMMON = new Set(
  '的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经這個國為來時們對會說種後經產學發動過與、，。',
);

function commonShare(text: string): number {
  let common = 0;
  let wide = 0;
  for (const character of text) {
    if (character.charCodeAt(0) < 128) continue;
    wide++;
    if (COMMON.has(character)) common++;
  }
  return wide === 0 ? 0 : common / wide;
}
