import { FileQuotaError } from './errors.ts';
import type { Folder } from './folder.ts';
import { walk } from './walk.ts';

/** What is on the disk may be changed by the operator too: it is counted again after so long. */
const FRESH_MS = 10 * 60_000;
/** Files and directories take whole blocks, so that a million empty files are not nothing. */
const BLOCK = 4096;
const ACCOUNTS = 10_000;

export const onDiskSize = (size: number) => Math.max(1, Math.ceil(size / BLOCK)) * BLOCK;

/** How much accounts have stored, counted on the disk and then kept in memory. */
export interface Usage {
  /**
   * Makes sure of room for more bytes; call it in the account's turn and `add` what was stored.
   *
   * @throws {FileQuotaError}
   */
  room(accountId: string, project: Folder, bytes: number): Promise<void>;
  add(accountId: string, bytes: number): void;
  /** It is counted again when it is asked for. */
  forget(accountId: string): void;
}

export function createUsage(quota: number): Usage {
  const counted = new Map<string, { bytes: number; at: number }>();

  const count = async (accountId: string, project: Folder) => {
    const known = counted.get(accountId);
    if (known && Date.now() - known.at < FRESH_MS) return known.bytes;
    let bytes = 0;
    for await (const { entry } of walk(project)) if (!entry.isLink) bytes += onDiskSize(entry.size);
    if (counted.size >= ACCOUNTS) counted.clear();
    counted.set(accountId, { bytes, at: Date.now() });
    return bytes;
  };

  return {
    async room(accountId, project, bytes) {
      if (bytes > 0 && (await count(accountId, project)) + bytes > quota) throw new FileQuotaError(quota);
    },
    add(accountId, bytes) {
      const known = counted.get(accountId);
      if (known) known.bytes += bytes;
    },
    forget: (accountId) => void counted.delete(accountId),
  };
}
