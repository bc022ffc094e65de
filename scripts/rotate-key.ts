/** `npm run rotate-key`: a new key for stored secrets. Works beside a running server and without one. */
import { parseArgs } from 'node:util';
import { loadSettings } from '../config/settings.ts';
import { AppError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { addKey, createVault, forgetKeys } from '../core/vault.ts';
import { resealSecrets } from '../plugins/data-sources/reseal.ts';
import { openDatabase } from './open-database.ts';

const HELP = `usage: npm run rotate-key [-- --keep]

Encrypts all stored secrets (passwords and keys of data sources) with a new key.

Key in the data folder (secret.keys): a new one is made, every secret is encrypted with it, and the old ones are removed;
backups made before need them: --keep leaves them in the file. A running server takes the new key by itself.

Key in the environment (KOAGENT_SECRET_KEY): put the new key in front of the old one, separated by a comma, restart the server,
run this command with the same value, and then take the old key away.`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { help: { type: 'boolean', default: false }, keep: { type: 'boolean', default: false } },
  });
  if (values.help) return console.log(HELP);
  const settings = loadSettings(process.env);
  const database = await openDatabase(settings, createLogger('silent'));
  try {
    if (settings.secretKey === undefined) console.log(`new key ${addKey(settings.dataDir)}`);
    const { count, keys } = await resealSecrets(database, createVault(settings));
    console.log(`${count} secrets encrypted again`);
    if (values.keep) return;
    for (const id of forgetKeys(settings.dataDir, keys)) console.log(`old key ${id} removed`);
  } finally {
    await database.close();
  }
}

try {
  await main();
} catch (error) {
  // An expected failure is told in one sentence; a bug with its stack.
  console.error(error instanceof AppError ? `koagent: ${error.message}` : error);
  process.exitCode = 1;
}
