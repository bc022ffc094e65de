import { mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Principal } from '../../core/principal.ts';
import { createSerial } from '../../core/serial.ts';
import { FileStoreError, onDisk } from './errors.ts';
import { createFolder, type Draft, type Folder, writeDraft } from './folder.ts';
import { UPLOADS } from './names.ts';
import { createUsage, onDiskSize } from './usage.ts';

export interface StoreOptions {
  /** Directory of all accounts. */
  root: string;
  /** Largest file, bytes. */
  fileBytes: number;
  /** All files of one account, bytes. */
  quota: number;
}

/** The directories of the accounts on the disk, and what keeps them in bounds. */
export interface FileStore {
  readonly options: StoreOptions;
  /** The account's project directory: `<root>/<account id>/project`, made with its upload folder when it is not there. */
  project(principal: Principal): Promise<Folder>;
  /** `user_upload` inside the project directory; nothing outside it can be reached. */
  uploads(principal: Principal): Promise<Folder>;
  draft(content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Draft>;
  discard(draft: Draft): Promise<void>;
  /** One change of an account at a time, so that its limit is kept to. */
  inTurn<T>(principal: Principal, work: () => Promise<T>): Promise<T>;
  /**
   * Gives a draft its name, within the account's turn. A file of that name makes room for it.
   *
   * @throws {AppError} FILE_QUOTA_EXCEEDED, PATH_TAKEN
   */
  place(principal: Principal, folder: Folder, draft: Draft, parts: readonly string[]): Promise<void>;
  /** What the account has is counted again. */
  recount(principal: Principal): void;
  /** Removes drafts that a crash has left. */
  sweep(): Promise<void>;
}

const DRAFTS = '.drafts';
/** Older drafts belong to nobody. */
const ABANDONED_MS = 3600_000;

export function createFileStore(options: StoreOptions): FileStore {
  const { root, fileBytes, quota } = options;
  const drafts = join(root, DRAFTS);
  const usage = createUsage(quota);
  const serial = createSerial();

  const project = ({ accountId }: Principal): Promise<Folder> =>
    onDisk('', async () => {
      if (!/^[A-Za-z0-9_-]{1,128}$/.test(accountId)) throw new FileStoreError(`account ${accountId}`);
      await mkdir(join(root, accountId, 'project', UPLOADS), { recursive: true, mode: 0o700 });
      const path = join(await realpath(root), accountId, 'project');
      // The account's own directories are none of those that may be links.
      if ((await realpath(path)) !== path) throw new FileStoreError(`${path} is a link`);
      return createFolder(path);
    });

  const sizeAt = async (folder: Folder, parts: readonly string[]): Promise<number> => {
    const found = await folder.find(parts).catch(() => undefined);
    return found && !found.isDirectory ? onDiskSize(found.size) : 0;
  };

  return {
    options,
    project,

    async uploads(principal) {
      const whole = await project(principal);
      const { real } = await whole.find([UPLOADS]);
      if (real !== join(whole.base, UPLOADS)) throw new FileStoreError(`${real} is a link`);
      return createFolder(real);
    },

    draft: (content) => writeDraft(drafts, content, fileBytes),
    discard: (draft) => rm(draft.path, { force: true }),
    inTurn: ({ accountId }, work) => serial(accountId, work),

    async place(principal, folder, draft, parts) {
      const more = onDiskSize(draft.size) - (await sizeAt(folder, parts));
      await usage.room(principal.accountId, await project(principal), more);
      await folder.place(draft, parts);
      usage.add(principal.accountId, more);
    },

    recount: ({ accountId }) => usage.forget(accountId),

    async sweep() {
      await mkdir(drafts, { recursive: true, mode: 0o700 });
      for (const name of await readdir(drafts)) {
        const path = join(drafts, name);
        const found = await stat(path).catch(() => undefined);
        if (found && Date.now() - found.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
      }
    },
  };
}
