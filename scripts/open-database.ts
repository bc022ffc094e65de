import { join } from 'node:path';
import type { Settings } from '../config/settings.ts';
import { connectDatabase } from '../core/data/connect.ts';
import type { Database } from '../core/data/database.ts';
import { AppError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { findStoreUri, openStore } from '../runtime/store/index.ts';

/**
 * The documents of the installation for a command: the configured MongoDB, the embedded store of the running server, or,
 * when no server runs, the embedded store itself.
 *
 * @throws {AppError} DATABASE_UNAVAILABLE, STORE_NOT_OPENED
 */
export async function openDatabase(
  { mongodbUri, dataDir }: Pick<Settings, 'mongodbUri' | 'dataDir'>,
  log: Logger,
): Promise<Database & { close(): Promise<void> }> {
  if (mongodbUri !== undefined) return connectDatabase(mongodbUri, { log });
  const folder = join(dataDir, 'store');
  let store: Awaited<ReturnType<typeof openStore>>;
  try {
    store = await openStore({ folder });
  } catch (error) {
    const running = error instanceof AppError && error.code === 'STORE_LOCKED' ? findStoreUri(folder) : undefined;
    if (running === undefined) throw error;
    return connectDatabase(running, { log });
  }
  try {
    const database = await connectDatabase(store.uri, { log });
    const close = async () => {
      await database.close();
      await store.close();
    };
    return { ...database, close };
  } catch (error) {
    await store.close();
    throw error;
  }
}
