/** `npm run restore -- <file>`: puts a backup in the place of the embedded store. */
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadSettings } from '../config/settings.ts';
import { AppError } from '../core/errors.ts';
import { checkStoreFile, openStore } from '../runtime/store/index.ts';

const [source] = process.argv.slice(2);
if (source === undefined || source === '--help') {
  console.log(`usage: npm run restore -- <file>

Checks a backup and puts it in the place of the embedded store of the data folder (KOAGENT_DATA_DIR, ./data).
The server must not run. What was there before is kept beside it as store.db.before-<time>.`);
  process.exit(source === undefined ? 2 : 0);
}

const stop = (message: string): never => {
  console.error(`restore: ${message}`);
  process.exit(1);
};

const settings = loadSettings(process.env);
const file = resolve(source);
if (!existsSync(file)) stop(`${file} does not exist.`);
try {
  checkStoreFile(file);
} catch (error) {
  stop(`${file} is not a usable backup: ${error instanceof Error ? error.message : error}`);
}

const folder = join(settings.dataDir, 'store');
mkdirSync(folder, { recursive: true, mode: 0o700 });
try {
  // Opening and closing shows that nobody owns the folder, and leaves everything in the one file.
  await (await openStore({ folder })).close();
} catch (error) {
  if (error instanceof AppError && error.code === 'STORE_LOCKED') stop(error.message);
  // A store that cannot be opened is a reason to restore.
}
const current = join(folder, 'store.db');
const fresh = join(folder, 'store.db.restoring');
copyFileSync(file, fresh);
if (existsSync(current)) {
  const before = `${current}.before-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  renameSync(current, before);
  if (existsSync(`${current}-wal`)) renameSync(`${current}-wal`, `${before}-wal`);
  rmSync(`${current}-shm`, { force: true });
  console.log(`The store of before is kept as ${before}`);
}
renameSync(fresh, current);
// The search index follows the store; the next search makes it anew.
rmSync(join(settings.dataDir, 'knowledge'), { recursive: true, force: true });
const store = await openStore({ folder });
const { collections, fileBytes } = await store.stats();
await store.close();
console.log(`Restored ${collections} collections, ${(fileBytes / 1_000_000).toFixed(1)} MB.`);
