import { decodeText } from '../../../core/encoding.ts';
import { encrypted, legacyWord, noText, tooLong, unknownKind } from '../errors.ts';
import { hasText, type ReadContext, type ReadDocument } from './blocks.ts';
import { magicOf, textKindOf } from './kind.ts';

export type DocumentKind = 'pdf' | 'docx' | 'text' | 'markdown' | 'html' | 'csv';

/** "EncryptedPackage" as the folder of an OLE file has it: a new Word file behind a password. */
const ENCRYPTED_PACKAGE = Buffer.from('EncryptedPackage', 'utf16le');

/**
 * Reads a document by what it is, whatever its name says.
 *
 * @param filename tells Markdown and CSV from plain text
 * @throws {UnreadableError} with a reason for people
 */
export async function readDocument(
  bytes: Uint8Array,
  filename: string,
  context: ReadContext,
): Promise<ReadDocument & { kind: DocumentKind }> {
  const read = await readByKind(bytes, filename, context);
  if (!read.blocks.some((block) => hasText(block.kind === 'table' ? block.rows.join(' ') : block.text))) throw noText();
  return read;
}

async function readByKind(
  bytes: Uint8Array,
  filename: string,
  context: ReadContext,
): Promise<ReadDocument & { kind: DocumentKind }> {
  if (bytes.byteLength === 0) throw noText();
  const magic = magicOf(bytes);
  switch (magic) {
    case 'pdf': {
      const { readPdf } = await import('./pdf.ts');
      return { kind: 'pdf', ...(await readPdf(bytes, context)) };
    }
    case 'zip': {
      const { readDocx } = await import('./docx.ts');
      return { kind: 'docx', ...(await readDocx(bytes, context)) };
    }
    case 'ole':
      throw Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(ENCRYPTED_PACKAGE)
        ? encrypted()
        : legacyWord();
    case 'text':
      return readTextKind(bytes, filename, context);
    default:
      throw unknownKind();
  }
}

async function readTextKind(bytes: Uint8Array, filename: string, { limits }: ReadContext) {
  const decoded = decodeText(bytes);
  if (decoded === undefined) throw unknownKind();
  const { text } = decoded;
  if (text.length > limits.characters) throw tooLong(limits.characters);
  const kind = textKindOf(text, filename);
  switch (kind) {
    case 'html': {
      const { readHtml } = await import('./html.ts');
      return { kind, ...readHtml(text) };
    }
    case 'csv': {
      const { readCsv } = await import('./csv.ts');
      return { kind, ...readCsv(text) };
    }
    case 'markdown': {
      const { readMarkdown } = await import('./markdown.ts');
      return { kind, ...readMarkdown(text) };
    }
    default: {
      const { readText } = await import('./text.ts');
      return { kind, ...readText(text, limits.pages) };
    }
  }
}
