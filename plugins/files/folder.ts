import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import {
  FileTooBigError,
  notDirectory,
  notFile,
  onDisk,
  PathIllegalError,
  PathNotFoundError,
  pathFixed,
  pathTaken,
} from './errors.ts';

/** What stands at a path, after links that stay inside were followed. */
export interface Found {
  /** Real path. */
  readonly real: string;
  readonly isDirectory: boolean;
  /** 0 for directories. */
  readonly size: number;
  readonly modifiedAt: Date;
}

export interface Entry extends Found {
  readonly name: string;
  readonly isLink: boolean;
}

/** A file that has its content and no name yet. */
export interface Draft {
  readonly path: string;
  readonly size: number;
  /** Hex. */
  readonly sha256: string;
}

/**
 * A directory that nothing leads out of: every path is resolved to its real one, which must lie inside, and is opened without following
 * links. Paths are given by their names, see `names.ts`.
 *
 * @throws {AppError} all methods: PATH_NOT_FOUND; PATH_ILLEGAL when a link leads out; FILE_STORE_FAILED
 */
export interface Folder {
  /** Real path of the directory. */
  readonly base: string;
  find(parts: readonly string[]): Promise<Found>;
  /** What is in a directory, by name; links that lead out or nowhere, and what is neither file nor directory, are left out. */
  entries(parts: readonly string[]): Promise<Entry[]>;
  /** Opens a file for reading; the caller closes it. */
  open(parts: readonly string[]): Promise<{ handle: FileHandle; found: Found }>;
  /** Makes a directory and those above it; nothing happens when it is there. */
  makeDirectory(parts: readonly string[]): Promise<void>;
  /** Gives a draft its name: in one step, over a file of that name, in directories that are made when they are missing. */
  place(draft: Draft, parts: readonly string[]): Promise<void>;
  /** @throws {AppError} PATH_TAKEN when something is there already */
  move(from: readonly string[], to: readonly string[]): Promise<void>;
  /** Removes a file, a link (not what it leads to), or a directory with all that is in it. */
  remove(parts: readonly string[]): Promise<void>;
}

// No waiting for a writer when it is a pipe.
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
/** Entries that are looked at at once. */
const AT_ONCE = 32;

/** @param base real path of a directory */
export function createFolder(base: string): Folder {
  const holds = (real: string) => real === base || real.startsWith(base + sep);

  /** The real path, which lies inside. Names from other systems may be spelled with separate accents. */
  const resolve = async (parts: readonly string[]): Promise<string> => {
    const path = join(base, ...parts);
    const composed = path.normalize('NFC');
    const real = await realpath(composed)
      .catch((error: unknown) => {
        if (composed === path) throw error;
        return realpath(path);
      })
      .catch(async (error: unknown) => {
        await refuseLinksOut(parts);
        throw error;
      });
    if (!holds(real)) throw new PathIllegalError(parts.join('/'));
    return real;
  };

  /** What is missing behind a link that leads out is no different from what is there. */
  const refuseLinksOut = async (parts: readonly string[]) => {
    for (const index of parts.keys()) {
      const some = parts.slice(0, index + 1);
      const found = await lstat(join(base, ...some)).catch(() => undefined);
      if (!found?.isSymbolicLink()) continue;
      const real = await realpath(join(base, ...some)).catch(() => undefined);
      if (real === undefined || !holds(real)) throw new PathIllegalError(parts.join('/'));
    }
  };

  const look = async (real: string): Promise<Found | undefined> => {
    const found = await stat(real);
    const isDirectory = found.isDirectory();
    if (!isDirectory && !found.isFile()) return undefined;
    return { real, isDirectory, size: isDirectory ? 0 : found.size, modifiedAt: found.mtime };
  };

  const find = (parts: readonly string[]): Promise<Found> =>
    onDisk(parts.join('/'), async () => {
      const found = await look(await resolve(parts));
      if (!found) throw new PathIllegalError(parts.join('/'));
      return found;
    });

  const entry = async (directory: string, name: string): Promise<Entry | undefined> => {
    const path = join(directory, name);
    try {
      const isLink = (await lstat(path)).isSymbolicLink();
      const real = isLink ? await realpath(path) : path;
      const found = holds(real) ? await look(real) : undefined;
      return found && { ...found, name, isLink };
    } catch (error) {
      // It went away meanwhile, or is a link to nothing or to itself.
      if (['ENOENT', 'ELOOP', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
        return undefined;
      throw error;
    }
  };

  /** The real path of a directory, made when it is missing. One name after another: none may be a link that leads out. */
  const directory = async (parts: readonly string[]): Promise<string> => {
    let at = base;
    for (const [index, part] of parts.entries()) {
      const next = join(at, part);
      await mkdir(next, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      at = await realpath(next);
      const path = parts.slice(0, index + 1).join('/');
      if (!holds(at)) throw new PathIllegalError(path);
      if (!(await stat(at)).isDirectory()) throw notDirectory();
    }
    return at;
  };

  /** The name itself, not what a link of that name leads to. */
  const named = async (parts: readonly string[]): Promise<string> => {
    const last = parts.at(-1);
    if (last === undefined) throw pathFixed();
    const parent = await resolve(parts.slice(0, -1));
    const composed = join(parent, last.normalize('NFC'));
    return (await exists(composed)) ? composed : join(parent, last);
  };

  return {
    base,
    find,

    async entries(parts) {
      const found = await find(parts);
      if (!found.isDirectory) throw notDirectory();
      return onDisk(parts.join('/'), async () => {
        const names = (await readdir(found.real)).sort();
        const entries: Entry[] = [];
        for (let at = 0; at < names.length; at += AT_ONCE) {
          const some = await Promise.all(names.slice(at, at + AT_ONCE).map((name) => entry(found.real, name)));
          entries.push(...some.filter((one) => one !== undefined));
        }
        return entries;
      });
    },

    async open(parts) {
      const found = await find(parts);
      if (found.isDirectory) throw notFile();
      return onDisk(parts.join('/'), async () => {
        const handle = await open(found.real, READ);
        try {
          // What was opened is what was looked at, and its directories have not become links meanwhile.
          const [opened, now] = await Promise.all([handle.stat(), stat(found.real)]);
          const same = opened.dev === now.dev && opened.ino === now.ino && (await realpath(found.real)) === found.real;
          if (!same || !opened.isFile()) throw new PathNotFoundError(parts.join('/'));
          return { handle, found: { ...found, size: opened.size, modifiedAt: opened.mtime } };
        } catch (error) {
          await handle.close();
          throw error;
        }
      });
    },

    async makeDirectory(parts) {
      await onDisk(parts.join('/'), () => directory(parts));
    },

    async place(draft, parts) {
      await onDisk(parts.join('/'), async () => {
        const last = parts.at(-1);
        if (last === undefined) throw notFile();
        const target = join(await directory(parts.slice(0, -1)), last);
        if (await isDirectory(target)) throw pathTaken();
        await rename(draft.path, target);
      });
    },

    async move(from, to) {
      await onDisk(from.join('/'), async () => {
        const source = await named(from);
        await lstat(source);
        const last = to.at(-1);
        if (last === undefined) throw pathTaken();
        const parent = await directory(to.slice(0, -1));
        const target = join(parent, last);
        if (await exists(target)) throw pathTaken();
        // A directory cannot go into itself.
        if (parent === source || parent.startsWith(source + sep)) throw new PathIllegalError(to.join('/'));
        await rename(source, target);
      });
    },

    async remove(parts) {
      await onDisk(parts.join('/'), async () => {
        const target = await named(parts);
        await lstat(target);
        await rm(target, { recursive: true });
      });
    },
  };
}

/**
 * Writes a draft and says what it holds. What fails leaves nothing behind.
 *
 * @param drafts directory on the disk of the folders
 * @throws {AppError} FILE_TOO_BIG, FILE_STORE_FAILED
 */
export async function writeDraft(
  drafts: string,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  maxBytes: number,
): Promise<Draft> {
  return onDisk('', async () => {
    await mkdir(drafts, { recursive: true, mode: 0o700 });
    const path = join(drafts, randomUUID());
    const handle = await open(path, 'wx', 0o600);
    try {
      const hash = createHash('sha256');
      let size = 0;
      for await (const piece of content) {
        size += piece.byteLength;
        if (size > maxBytes) throw new FileTooBigError(maxBytes);
        hash.update(piece);
        await handle.writeFile(piece);
      }
      await handle.sync();
      return { path, size, sha256: hash.digest('hex') };
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  });
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );

const isDirectory = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
