import { rmSync } from 'node:fs';
import { backup, type DatabaseSync } from 'node:sqlite';
import { sqliteCode } from './errors.ts';

const [ok, busy, locked] = [0, 5, 6];

/** Copies a database in use, page by page between the writes; what changes meanwhile is copied again by SQLite. */
export async function copyDatabase(sqlite: DatabaseSync, file: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await backup(sqlite, file, { rate: 256 });
      return;
    } catch (error) {
      rmSync(file, { force: true });
      // A first step that falls into an open transaction fails with the code of success: it only has to be tried again.
      const code = sqliteCode(error);
      if (attempt > 10_000 || (code !== ok && code !== busy && code !== locked)) throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
