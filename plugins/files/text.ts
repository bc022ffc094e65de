import { decodeText, looksLikeText } from '../../core/encoding.ts';
import { NotTextError } from './errors.ts';

export interface TextFile {
  text: string;
  encoding: string;
  /** It began with the mark of its encoding; `text` does not. */
  marked: boolean;
}

/** @throws {NotTextError} for pictures, archives and the like */
export function textOf(bytes: Uint8Array, path: string): TextFile {
  const decoded = looksLikeText(bytes) ? decodeText(bytes) : undefined;
  if (decoded === undefined) throw new NotTextError(path);
  const marked = (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) || decoded.encoding.startsWith('utf-16');
  return { ...decoded, marked };
}

/** Text as bytes: in UTF-8, with a mark where the file had one in that encoding. */
export const bytesOf = (text: string, { encoding, marked }: Omit<TextFile, 'text'>): Uint8Array =>
  Buffer.from(marked && encoding === 'utf-8' ? `\ufeff${text}` : text);

/** `*` stands for any signs, `?` for one; case is ignored. One pass with one point to go back to: it cannot be made slow. */
export function matchesPattern(name: string, pattern: string): boolean {
  const [text, wild] = [[...name.toLowerCase()], [...pattern.toLowerCase()]];
  let [at, in_] = [0, 0];
  let star = -1;
  let from = 0;
  while (at < text.length) {
    if (wild[in_] === '*') {
      star = in_++;
      from = at;
    } else if (in_ < wild.length && (wild[in_] === '?' || wild[in_] === text[at])) {
      in_++;
      at++;
    } else if (star >= 0) {
      in_ = star + 1;
      at = ++from;
    } else return false;
  }
  while (wild[in_] === '*') in_++;
  return in_ === wild.length;
}
