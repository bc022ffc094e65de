import type { Readable } from 'node:stream';
import { type Entry, fromBuffer, type ZipFile } from 'yauzl';
import { broken, encrypted, expandsTooMuch } from '../errors.ts';
import type { ReadLimits } from './blocks.ts';

/** Parts of a zip archive, read one after another within limits of size, entries and expansion. */
export interface Archive {
  has(name: string): boolean;
  /** The bytes of a part as they are decompressed; undefined when there is none of that name. */
  open(name: string): Promise<Readable | undefined>;
  close(): void;
}

/** A part that expands more than this is no text that a person wrote; small ones may. */
const MAX_RATIO = 300;
const RATIO_FROM_BYTES = 4 * 1024 * 1024;

/**
 * @throws {UnreadableError} DOCUMENT_BROKEN, DOCUMENT_ENCRYPTED, DOCUMENT_EXPANDS; also from the streams of parts whose size is not
 *   what the archive says
 */
export async function openArchive(bytes: Uint8Array, limits: ReadLimits): Promise<Archive> {
  const zip = await new Promise<ZipFile>((resolve, reject) => {
    fromBuffer(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      { lazyEntries: true, validateEntrySizes: true, strictFileNames: false },
      (error, opened) => (error ? reject(broken(error)) : resolve(opened)),
    );
  });
  if (zip.entryCount > limits.entries) throw expandsTooMuch();
  const entries = new Map<string, Entry>();
  let expanded = 0;
  await new Promise<void>((resolve, reject) => {
    zip.on('error', (error) => reject(broken(error)));
    zip.on('end', resolve);
    zip.on('entry', (entry: Entry) => {
      expanded += entry.uncompressedSize;
      if (entries.size >= limits.entries) reject(expandsTooMuch());
      else {
        entries.set(entry.fileName, entry);
        zip.readEntry();
      }
    });
    zip.readEntry();
  });
  // Pictures count too: an archive that says it expands beyond all bounds is refused before anything is decompressed.
  if (expanded > limits.expandedBytes) throw expandsTooMuch();

  return {
    has: (name) => entries.has(name),
    open(name) {
      const entry = entries.get(name);
      if (entry === undefined) return Promise.resolve(undefined);
      if (entry.isEncrypted()) throw encrypted();
      const { uncompressedSize: size, compressedSize } = entry;
      if (size > RATIO_FROM_BYTES && size > compressedSize * MAX_RATIO) throw expandsTooMuch();
      return new Promise((resolve, reject) => {
        zip.openReadStream(entry, (error, stream) => (error ? reject(broken(error)) : resolve(stream)));
      });
    },
    close: () => zip.close(),
  };
}
