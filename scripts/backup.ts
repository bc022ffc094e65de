/** `npm run backup -- <file>`: a copy of the embedded store, also while the server runs. */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { MongoClient } from 'mongodb';
import { loadSettings } from '../config/settings.ts';
import { AppError } from '../core/errors.ts';
import { findStoreUri, openStore } from '../runtime/store/index.ts';

const [target] = process.argv.slice(2);
if (target === undefined || target === '--help') {
  console.log(`usage: npm run backup -- <file>

Copies the embedded store of the data folder (KOAGENT_DATA_DIR, ./data) into a file, while the server runs or not.
The file must not exist. \`npm run restore -- <file>\` brings it back. With MONGODB_URI use mongodump instead.`);
  process.exit(target === undefined ? 2 : 0);
}

const stop = (message: string): never => {
  console.error(`backup: ${message}`);
  process.exit(1);
};

const settings = loadSettings(process.env);
const file = resolve(target);
if (settings.mongodbUri) stop('MONGODB_URI is set: back up that MongoDB with its own tools (mongodump).');
if (existsSync(file)) stop(`${file} exists already.`);

const folder = join(settings.dataDir, 'store');
try {
  const store = await openStore({ folder });
  try {
    await store.backup(file);
  } finally {
    await store.close();
  }
} catch (error) {
  const running = error instanceof AppError && error.code === 'STORE_LOCKED' ? findStoreUri(folder) : undefined;
  if (running === undefined) throw error;
  // The owner of the folder makes the copy.
  const client = await new MongoClient(running).connect();
  try {
    await client.db('admin').command({ koagentBackup: file });
  } finally {
    await client.close();
  }
}
console.log(`${file}: ${(statSync(file).size / 1_000_000).toFixed(1)} MB`);
