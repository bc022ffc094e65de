import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { FileRefusedError } from '../errors.ts';
import type { KnowledgeFile } from '../public.ts';
import { type FileType, fileTypeOf, magicOf } from '../reading/kind.ts';

/** A file that may be imported. */
export interface CheckedFile {
  filename: string;
  fileType: FileType;
  size: number;
  content(): Uint8Array | NodeJS.ReadableStream;
}

const HEAD_BYTES = 4096;
const LONGEST_NAME = 255;

const unsupported = () =>
  new FileRefusedError('FILE_TYPE_UNSUPPORTED', {
    zh: '不支持的文件类型，请上传 PDF、DOC、DOCX、TXT、MD、HTML 或 CSV 文件',
    en: 'The type of the file is not supported; upload PDF, DOC, DOCX, TXT, MD, HTML or CSV',
  });

/**
 * Checks size and type before anything is stored. What a file is read as is decided by its content; its name has to be one that people
 * expect to work, or the content one that needs no name.
 *
 * @throws {FileRefusedError}
 */
export async function checkFile({ filename, content }: KnowledgeFile, maxBytes: number): Promise<CheckedFile> {
  const name = nameOf(filename);
  const size = content instanceof Uint8Array ? content.byteLength : (await stat(content.path)).size;
  if (size === 0) throw new FileRefusedError('FILE_EMPTY', { zh: '文件内容为空', en: 'The file is empty' });
  if (size > maxBytes) {
    const limit = Math.round(maxBytes / (1 << 20));
    throw new FileRefusedError('FILE_TOO_LARGE', {
      zh: `文件大小超过 ${limit} MB 的上限`,
      en: `The file exceeds the limit of ${limit} MB`,
    });
  }
  const head = content instanceof Uint8Array ? content.subarray(0, HEAD_BYTES) : await headOf(content.path);
  const fileType = typeOf(name, head);
  if (fileType === undefined) throw unsupported();
  return {
    filename: name,
    fileType,
    size,
    content: () => (content instanceof Uint8Array ? content : createReadStream(content.path)),
  };
}

/** The name without folders and control characters. */
function nameOf(filename: string): string {
  const base = filename.split(/[\\/]/).at(-1) ?? '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const plain = base.replace(/[\u0000-\u001f\u007f]/g, '').trim();
  if (plain.length <= LONGEST_NAME) return plain || 'file';
  const extension = /\.[^.]{1,10}$/.exec(plain)?.[0] ?? '';
  return plain.slice(0, LONGEST_NAME - extension.length) + extension;
}

function typeOf(name: string, head: Uint8Array): FileType | undefined {
  const magic = magicOf(head);
  if (magic === 'binary' || magic === 'rtf') return undefined;
  const named = fileTypeOf(name);
  if (named !== undefined) return named;
  // Without a known extension only content that says itself what it is.
  return magic === 'pdf' ? 'pdf' : undefined;
}

/** The first bytes of a file, as many as tell what it is. */
export async function headOf(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
