/** `npm run move-store -- <mongodb uri>`: from the embedded store to a MongoDB, or back. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MongoClient } from 'mongodb';
import { loadSettings } from '../config/settings.ts';
import { AppError } from '../core/errors.ts';
import { openStore } from '../runtime/store/index.ts';
import { moveAll } from '../runtime/store/move.ts';

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: { from: { type: 'string' }, help: { type: 'boolean' } },
});
const [to] = positionals;
const uri = values.from ?? to;
if (values.help || uri === undefined || (values.from !== undefined && to !== undefined)) {
  console.log(`usage: npm run move-store -- <mongodb uri>          from the embedded store to a MongoDB
       npm run move-store -- --from <mongodb uri>   from a MongoDB into the embedded store

Copies all collections with their indexes and rules, then compares counts and hashes. The server must not run.
A copy that was cut off goes on where it was. Nothing is deleted at the source. Afterwards set or remove MONGODB_URI.`);
  process.exit(values.help ? 0 : 2);
}

const settings = loadSettings(process.env);
let store: Awaited<ReturnType<typeof openStore>>;
try {
  store = await openStore({ folder: join(settings.dataDir, 'store') });
} catch (error) {
  console.error(`move-store: ${error instanceof AppError ? error.message : error}`);
  process.exit(1);
}
const embedded = new MongoClient(store.uri);
const other = new MongoClient(uri, { serverSelectionTimeoutMS: 10_000 });
let exitCode = 0;
try {
  await Promise.all([embedded.connect(), other.connect()]);
  const [source, target] = values.from === undefined ? [embedded, other] : [other, embedded];
  const results = await moveAll(source, target, ({ ns, copied, total }) => console.log(`${ns}: ${copied} of ${total}`));
  for (const { ns, count, hash, same } of results)
    console.log(`${same ? 'ok    ' : 'DIFFERS'} ${ns}  ${count} documents  ${hash.slice(0, 16)}`);
  const different = results.filter(({ same }) => !same);
  if (different.length > 0) {
    console.error(`move-store: ${different.length} collections differ; was something writing meanwhile? Run it again.`);
    exitCode = 1;
  } else console.log(`All ${results.length} collections are the same on both sides.`);
} catch (error) {
  console.error(`move-store: ${error instanceof Error ? error.message : error}. Run it again to go on.`);
  exitCode = 1;
} finally {
  await embedded.close();
  await other.close();
  await store.close();
}
process.exit(exitCode);
