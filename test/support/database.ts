import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectDatabase } from '../../core/data/connect.ts';
import type { Database } from '../../core/data/database.ts';
import { createLogger } from '../../core/log.ts';
import { openStore } from '../../runtime/store/index.ts';

/** What `after` hooks are hung on: a test context, or `{ after }` of node:test for a whole file. */
interface Owner {
  after(dispose: () => Promise<void>): void;
}

/**
 * A database of its own for one test or one file: the embedded store in a temporary folder, or a fresh database on
 * the server that `MONGODB_URI` names. It goes away with the test.
 */
export async function openTestDatabase(owner: Owner): Promise<Database & { uri: string; close(): Promise<void> }> {
  const uri = await openTestServer(owner);
  const database = await connectDatabase(uri, { log: createLogger('silent') });
  const external = process.env.MONGODB_URI !== undefined;
  owner.after(async () => {
    if (external) await database.connection.dropDatabase();
    await database.close();
  });
  return Object.assign(database, { uri });
}

/** The address of an empty database; several connections may share it. */
export async function openTestServer(owner: Owner): Promise<string> {
  const external = process.env.MONGODB_URI;
  if (external !== undefined) {
    const uri = new URL(external);
    uri.pathname = `/koagent_test_${randomUUID().slice(0, 8)}`;
    return uri.href;
  }
  const folder = await mkdtemp(join(tmpdir(), 'koagent-test-'));
  const store = await openStore({ folder });
  owner.after(async () => {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });
  return store.uri;
}
