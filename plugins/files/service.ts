import { createReadStream } from 'node:fs';
import { FileTooBigError, PathIllegalError, PathMissingError } from './errors.ts';
import { cleanName, newPathParts, pathParts, toldPath, UPLOADS, withoutUploads } from './names.ts';
import type { FileService } from './public.ts';
import type { FileStore } from './store.ts';
import { readTree } from './tree.ts';
import { zipStream } from './zip.ts';

export function createFileService(store: FileStore): FileService {
  return {
    async list(principal, path) {
      const parts = withoutUploads(pathParts(path));
      const folder = await store.uploads(principal);
      const items = await folder.entries(parts);
      return {
        base: toldPath(parts),
        items: items.map(({ name, isDirectory, size, modifiedAt }) => ({
          name,
          isDirectory,
          size,
          modifiedAt,
          path: toldPath([...parts, name]),
        })),
      };
    },

    async upload(principal, { name, directory = '', source }) {
      const filename = cleanName(name);
      const parts = [...withoutUploads(newPathParts(directory)), filename];
      const folder = await store.uploads(principal);
      const draft = await store.draft(createReadStream(source));
      try {
        await store.inTurn(principal, () => store.place(principal, folder, draft, parts));
      } catch (error) {
        await store.discard(draft);
        throw error;
      }
      return { path: toldPath(parts), filename, size: draft.size, sha256: draft.sha256 };
    },

    async download(principal, path) {
      if (path === undefined || path.trim() === '') throw new PathMissingError();
      const parts = withoutUploads(pathParts(path));
      const folder = await store.uploads(principal);
      const name = parts.at(-1) ?? UPLOADS;
      if ((await folder.find(parts)).isDirectory) {
        return { filename: `${name}.zip`, contentType: 'application/zip', content: zipStream(folder, parts) };
      }
      const { handle, found } = await folder.open(parts);
      return {
        filename: name,
        contentType: 'application/octet-stream',
        size: found.size,
        // A file that grows meanwhile is sent as far as its size was told.
        content: handle.createReadStream(found.size > 0 ? { end: found.size - 1 } : {}),
      };
    },

    async read(principal, path, maxBytes) {
      const parts = pathParts(path);
      if (parts.length === 0) throw new PathIllegalError(path);
      const { handle, found } = await (await store.project(principal)).open(parts);
      try {
        if (found.size > maxBytes) throw new FileTooBigError(maxBytes);
        return await handle.readFile();
      } finally {
        await handle.close();
      }
    },

    tree: async (principal) => readTree(await store.project(principal)),
  };
}
