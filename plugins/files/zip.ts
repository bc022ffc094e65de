import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { AppError } from '../../core/errors.ts';
import type { Folder } from './folder.ts';
import { walk } from './walk.ts';

/**
 * A directory as a ZIP stream, written while it is read: one open file at a time, nothing is kept. Links are followed to files inside
 * the folder only. Destroying the stream ends the work; a fault of the disk breaks the stream off.
 *
 * @param parts the directory; entries carry their path from the folder on
 */
export function zipStream(folder: Folder, parts: readonly string[]): Readable {
  const zip = new ZipFile();
  const out = new PassThrough();
  const gone = new AbortController();
  out.once('close', () => gone.abort());
  // Its faults are those of the files: the work below ends with them, too.
  zip.on('error', (error: Error) => out.destroy(error));
  pipeline(zip.outputStream, out).catch(() => gone.abort());
  fill(zip, folder, parts, gone.signal).then(
    () => zip.end(),
    (error: unknown) => out.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return out;
}

async function fill(zip: ZipFile, folder: Folder, from: readonly string[], signal: AbortSignal): Promise<void> {
  for await (const { parts, entry } of walk(folder, from, signal)) {
    const name = parts.map((part) => part.replaceAll('\\', '_')).join('/');
    const options = { mtime: entry.modifiedAt };
    if (entry.isDirectory) {
      if (!entry.isLink) zip.addEmptyDirectory(name, options);
      continue;
    }
    const opened = await folder.open(parts).catch((error: unknown) => {
      // It went away since it was listed.
      if (error instanceof AppError && error.kind !== 'internal') return undefined;
      throw error;
    });
    if (!opened) continue;
    const content = opened.handle.createReadStream({ signal });
    const closed = once(content, 'close');
    zip.addReadStream(content, name, options);
    await closed;
  }
}
