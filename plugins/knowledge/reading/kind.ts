import { looksLikeText } from '../../../core/encoding.ts';

/** What the bytes of a file are. `ole` holds old Word files and encrypted new ones. */
export type Magic = 'pdf' | 'zip' | 'ole' | 'rtf' | 'text' | 'binary';

const starts = (bytes: Uint8Array, ...magic: number[]) => magic.every((byte, at) => bytes[at] === byte);

/** @param head the first bytes of the file, at least 1024 where there are so many */
export function magicOf(head: Uint8Array): Magic {
  if (Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, 1024)).includes('%PDF-')) return 'pdf';
  if (starts(head, 0x50, 0x4b, 3, 4) || starts(head, 0x50, 0x4b, 5, 6)) return 'zip';
  if (starts(head, 0xd0, 0xcf, 0x11, 0xe0)) return 'ole';
  if (starts(head, 0x7b, 0x5c, 0x72, 0x74, 0x66)) return 'rtf';
  return looksLikeText(head) ? 'text' : 'binary';
}

/** Extensions that people may upload, with the kind that text of that name is read as. */
export const FILE_TYPES = {
  pdf: 'text',
  doc: 'text',
  docx: 'text',
  txt: 'text',
  md: 'markdown',
  markdown: 'markdown',
  html: 'html',
  htm: 'html',
  csv: 'csv',
} as const;
export type FileType = keyof typeof FILE_TYPES;
export type TextKind = (typeof FILE_TYPES)[FileType];

/** The extension of a file name when it is one of the known. */
export function fileTypeOf(filename: string): FileType | undefined {
  const extension = /\.([a-z0-9]{1,10})$/i.exec(filename.trim())?.[1]?.toLowerCase();
  return extension !== undefined && Object.hasOwn(FILE_TYPES, extension) ? (extension as FileType) : undefined;
}

/** Which kind of text it is: HTML by its tags whatever its name; Markdown and CSV cannot be told from plain text but by name. */
export function textKindOf(text: string, filename: string): TextKind {
  const head = text.slice(0, 4096).trimStart();
  if (/^(?:<\?xml[^>]*>\s*)?(?:<!--[\s\S]*?-->\s*)*<(?:!doctype html|html|head|body)[\s>]/i.test(head)) return 'html';
  const named = FILE_TYPES[fileTypeOf(filename) ?? 'txt'];
  if (named === 'html') return /<[a-z][\s\S]*>/i.test(head) ? 'html' : 'text';
  if (named !== 'text') return named;
  return /^#{1,6} \S/m.test(head) && /^(?:#{1,6} |[-*] |\|.*\||```)/m.test(head.slice(head.indexOf('\n') + 1))
    ? 'markdown'
    : 'text';
}
