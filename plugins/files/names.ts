import { NameIllegalError, PathIllegalError } from './errors.ts';

/** Bytes of one name that file systems keep. */
const NAME_BYTES = 255;
/** Longer endings are no extensions. */
const EXTENSION_BYTES = 32;
const PATH_BYTES = 1024;
const MAX_DEPTH = 32;

/** Devices of Windows, with or without an extension: a file of such a name cannot be unpacked there. */
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\s*\.|\s*$)/i;
/** What names may not have on one system or another, and signs that turn the direction of text to make `exe.txt` of `txt.exe`. */
const UNSAFE = /[<>:"|?*]/g;
const INVISIBLE = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

const bytes = (text: string) => Buffer.byteLength(text);

/**
 * Makes a name for a file of what a client calls it: no directories, control characters or reserved names, no dots or blanks at its
 * ends, at most 255 bytes with its extension; letters of any script are kept.
 *
 * @throws {NameIllegalError} when nothing is left of it
 */
export function cleanName(given: string): string {
  const last = given.toWellFormed().split(/[\\/]/).at(-1) ?? '';
  const plain = trimEnds(last.normalize('NFC').replace(INVISIBLE, '').replace(UNSAFE, '_'));
  if (plain === '') throw new NameIllegalError();
  return shorten(RESERVED.test(plain) ? `_${plain}` : plain);
}

/** Not one expression with `+$`: on a long run of blanks in the middle it would take the square of their number. */
function trimEnds(name: string): string {
  const begin = name.search(/[^\s.]/u);
  if (begin < 0) return '';
  let end = name.length;
  while (/[\s.]/u.test(name.charAt(end - 1))) end -= 1;
  return name.slice(begin, end);
}

function shorten(name: string): string {
  if (bytes(name) <= NAME_BYTES) return name;
  const dot = name.lastIndexOf('.');
  const known = dot > 0 && bytes(name.slice(dot)) <= EXTENSION_BYTES;
  const [base, extension] = known ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  let room = NAME_BYTES - bytes(extension);
  let kept = '';
  // Signs that people see as one stay whole: a letter and its accents, an emoji of several code points.
  for (const { segment } of new Intl.Segmenter().segment(base)) {
    room -= bytes(segment);
    if (room < 0) break;
    kept += segment;
  }
  return (trimEnds(kept) || '_') + extension;
}

/**
 * The names of a path in order; `a//b/./c` is `a/b/c`, and nothing is the folder itself.
 *
 * @throws {PathIllegalError} a leading slash, `..`, backslashes, control characters, names or paths that are too long
 */
export function pathParts(given: string): string[] {
  if (given.startsWith('/') || given.includes('\\') || !given.isWellFormed() || /\p{Cc}/u.test(given)) {
    throw new PathIllegalError(given);
  }
  const parts = given.split('/').filter((part) => part !== '' && part !== '.');
  const wrong = parts.some((part) => part === '..' || bytes(part) > NAME_BYTES || isForeign(part));
  if (wrong || parts.length > MAX_DEPTH || bytes(given) > PATH_BYTES) throw new PathIllegalError(given);
  return parts;
}

/** `C:` and streams of NTFS are a way out on Windows alone. */
const isForeign = (part: string) => process.platform === 'win32' && (part.includes(':') || RESERVED.test(part));

/**
 * `pathParts` for something that is about to be made.
 *
 * @throws {PathIllegalError} also for reserved names and blanks or dots at the end of a name
 */
export function newPathParts(given: string): string[] {
  const parts = pathParts(given).map((part) => part.normalize('NFC'));
  if (parts.some((part) => RESERVED.test(part) || /[\s.]$|^\s/u.test(part) || bytes(part) > NAME_BYTES)) {
    throw new PathIllegalError(given);
  }
  return parts;
}

/** Paths of the file API may begin with the name of the folder that they are in anyway. */
export function withoutUploads(parts: string[]): string[] {
  return parts[0] === UPLOADS ? parts.slice(1) : parts;
}

/** A path as clients are told it: what is itself called as that folder would otherwise be taken for it. */
export const toldPath = (parts: readonly string[]): string =>
  (parts[0] === UPLOADS ? [UPLOADS, ...parts] : parts).join('/');

/** The folder of the file API inside the project directory. */
export const UPLOADS = 'user_upload';
