import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { type Collection, type Db, type Document, MongoClient } from 'mongodb';
import { type EmbeddedStore, openStore } from '../../../../runtime/store/index.ts';

/** What a conformance suite talks to: a MongoDB when `MONGODB_URI` is set, else a fresh embedded store. */
export interface Target {
  readonly db: Db;
  readonly client: MongoClient;
  readonly embedded: boolean;
  /** A collection nobody else uses. */
  collection(): Collection<Document>;
}

let count = 0;

/** Opens the target before the tests of a file, lets `prepare` fill it, and removes it after them. */
export function useTarget(prepare: (target: Target) => Promise<void> = async () => undefined): Target {
  const uri = process.env.MONGODB_URI;
  let store: EmbeddedStore | undefined;
  let folder: string | undefined;
  let client: MongoClient | undefined;
  let db: Db | undefined;

  before(async () => {
    if (!uri) {
      folder = await mkdtemp(join(tmpdir(), 'koagent-store-'));
      store = await openStore({ folder });
    }
    client = new MongoClient(store?.uri ?? uri ?? '');
    await client.connect();
    db = client.db(`conformance_${process.pid}_${Date.now()}`);
    await prepare(target);
  });
  after(async () => {
    await db?.dropDatabase();
    await client?.close();
    await store?.close();
    if (folder) await rm(folder, { recursive: true });
  });

  const opened = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('The target is opened before the tests of the file.');
    return value;
  };
  const target: Target = {
    embedded: !uri,
    get db() {
      return opened(db);
    },
    get client() {
      return opened(client);
    },
    collection: () => opened(db).collection(`c${++count}`),
  };
  return target;
}

/** Matches an error of the server by its code. */
export const withCode = (code: number) => (error: unknown) => {
  if (error instanceof Error && 'code' in error && error.code === code) return true;
  throw new Error(`expected code ${code}`, { cause: error });
};
