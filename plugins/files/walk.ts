import { PathNotFoundError } from './errors.ts';
import type { Entry, Folder } from './folder.ts';

export interface Walked {
  readonly parts: readonly string[];
  readonly entry: Entry;
}

/** What was made deeper by other means than ours is left out. */
const MAX_DEPTH = 64;

/**
 * Everything in a directory, each directory before what is in it, by name. Links to directories are told but not gone into: they may lead
 * back. What goes away meanwhile is left out.
 */
export async function* walk(
  folder: Folder,
  parts: readonly string[] = [],
  signal?: AbortSignal,
): AsyncGenerator<Walked, void, undefined> {
  if (parts.length > MAX_DEPTH) return;
  for (const entry of await entriesOf(folder, parts)) {
    signal?.throwIfAborted();
    const path = [...parts, entry.name];
    yield { parts: path, entry };
    if (entry.isDirectory && !entry.isLink) yield* walk(folder, path, signal);
  }
}

async function entriesOf(folder: Folder, parts: readonly string[]): Promise<Entry[]> {
  try {
    return await folder.entries(parts);
  } catch (error) {
    if (error instanceof PathNotFoundError) return [];
    throw error;
  }
}
