import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { JsonTarget } from '../config.ts';
import { DataSourceError, QueryCancelledError, queryRefused } from '../errors.ts';
import { asList, parsePath, readPath } from '../json-path.ts';
import type { Connector, ConnectorParts } from './connector.ts';
import { resultTooLarge } from './rows.ts';

/** Below `files`: what only one tenant sees, in a folder of the tenant's id. */
const TENANT_FOLDER = 'tenants';

/** A document in the config, or in a file that the operator has put into the folder `files` of the data folder. */
export function createJsonConnector(
  target: JsonTarget,
  tenantId: string,
  { limits, filesDir }: Pick<ConnectorParts, 'limits' | 'filesDir'>,
): Connector {
  const read = async () => {
    const { filePath, data } = target;
    const document = filePath === undefined ? data : await readDocument(filesDir, filePath, tenantId, limits.bytes);
    return readPath(document, parsePath(target.dataPath) ?? []);
  };
  return {
    async test() {
      await read();
    },

    async query(query, signal) {
      const steps = typeof query === 'string' ? parsePath(query) : undefined;
      if (steps === undefined) {
        throw queryRefused(
          '查询应为文档内的路径，例如 $.items[0].name',
          'The query must be a path into the document, such as $.items[0].name',
        );
      }
      const data = asList(readPath(await read(), steps));
      if (signal?.aborted) throw new QueryCancelledError();
      return { data, count: data.length, truncated: false };
    },

    close: async () => undefined,
  };
}

/** One answer for everything that cannot be read: callers learn nothing about other files. */
const unreadable = () =>
  new DataSourceError('connection', {
    zh: '数据文件不存在或无法读取',
    en: 'The data file does not exist or cannot be read',
  });

async function readDocument(filesDir: string, filePath: string, tenantId: string, limit: number): Promise<unknown> {
  const path = await locate(filesDir, filePath, tenantId);
  let text: string;
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const { size } = await file.stat();
    if (size > limit) throw resultTooLarge(limit);
    text = await file.readFile('utf8');
  } catch (error) {
    throw error instanceof DataSourceError ? error : unreadable();
  } finally {
    await file?.close();
  }
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new DataSourceError('answer', { zh: '数据文件不是有效的 JSON', en: 'The data file is not valid JSON' });
  }
}

/** The real path of a plain file inside the folder, after all links, and not in another tenant's part. */
async function locate(filesDir: string, filePath: string, tenantId: string): Promise<string> {
  let root: string;
  let path: string;
  try {
    root = await realpath(filesDir);
    path = await realpath(join(root, filePath));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    throw unreadable();
  }
  if (!path.startsWith(root + sep)) throw unreadable();
  const [first, owner] = path.slice(root.length + 1).split(sep);
  if (first === TENANT_FOLDER && owner !== tenantId) throw unreadable();
  // Opening a pipe or a device would wait for ever.
  if (!(await stat(path)).isFile()) throw unreadable();
  return path;
}
