import { AppError, type LocalText } from '../../core/errors.ts';

/** The path cannot be one of the caller's files: it is absolute, climbs up, has signs that no name may have, or leads out by a link. */
export class PathIllegalError extends AppError {
  constructor(path: string, cause?: unknown) {
    super(
      'invalid',
      'PATH_ILLEGAL',
      { zh: '路径非法', en: 'The path is not allowed' },
      { details: { path: path.slice(0, 200) }, cause },
    );
  }
}

export class PathNotFoundError extends AppError {
  constructor(path: string) {
    super(
      'not_found',
      'PATH_NOT_FOUND',
      { zh: '文件或目录不存在', en: 'The file or directory does not exist' },
      { details: { path } },
    );
  }
}

/** Something else than what was asked for stands at the path. */
export class PathKindError extends AppError {
  constructor(code: 'PATH_NOT_DIRECTORY' | 'PATH_NOT_FILE' | 'PATH_TAKEN' | 'PATH_FIXED', text: LocalText) {
    super('invalid', code, text);
  }
}

export const notDirectory = () =>
  new PathKindError('PATH_NOT_DIRECTORY', { zh: '路径不是目录', en: 'The path is not a directory' });

export const notFile = () => new PathKindError('PATH_NOT_FILE', { zh: '路径不是文件', en: 'The path is not a file' });

export const pathTaken = () =>
  new PathKindError('PATH_TAKEN', {
    zh: '该路径已有文件或目录',
    en: 'There is a file or directory at the path already',
  });

export const pathFixed = () =>
  new PathKindError('PATH_FIXED', {
    zh: '该目录不能移动或删除',
    en: 'This directory cannot be moved or deleted',
  });

export class PathMissingError extends AppError {
  constructor() {
    super('invalid', 'PATH_MISSING', { zh: '缺少 path 参数', en: 'The path is missing' });
  }
}

export class NameIllegalError extends AppError {
  constructor() {
    super('invalid', 'NAME_ILLEGAL', { zh: '文件名非法', en: 'The file name is not allowed' });
  }
}

export class UploadMissingError extends AppError {
  constructor() {
    super('invalid', 'UPLOAD_MISSING', { zh: '表单中没有文件', en: 'There is no file in the form' });
  }
}

export class FileTooBigError extends AppError {
  constructor(limit: number) {
    const shown = limit >= 1 << 20 ? `${Math.round(limit / (1 << 20))} MB` : `${Math.ceil(limit / 1024)} KB`;
    super('too_large', 'FILE_TOO_BIG', {
      zh: `文件超过 ${shown} 的上限`,
      en: `The file exceeds the limit of ${shown}`,
    });
  }
}

export class FileQuotaError extends AppError {
  constructor(quota: number) {
    const shown = `${Math.round(quota / (1 << 20))} MB`;
    super(
      'quota_exceeded',
      'FILE_QUOTA_EXCEEDED',
      { zh: `文件总量超过 ${shown} 的上限`, en: `All files together exceed the limit of ${shown}` },
      { details: { resource: 'files', quota } },
    );
  }
}

/** The disk is full, or the folder cannot be written to. */
export class FileStoreError extends AppError {
  constructor(cause: unknown) {
    super('internal', 'FILE_STORE_FAILED', { zh: '文件保存失败', en: 'The file could not be stored' }, { cause });
  }
}

/** Only for tools: a model asked for text and there is none. */
export class NotTextError extends AppError {
  constructor(path: string) {
    super('invalid', 'FILE_NOT_TEXT', {
      zh: `${path} 不是文本文件`,
      en: `${path} is not a text file and cannot be read as text`,
    });
  }
}

/** The passage that an edit wants to replace is not there once. */
export class EditMismatchError extends AppError {
  constructor(found: number) {
    super(
      'invalid',
      'EDIT_MISMATCH',
      found === 0
        ? {
            zh: '文件中没有要替换的内容',
            en: 'old_text does not occur in the file; read the file again and copy the passage exactly',
          }
        : {
            zh: `要替换的内容出现了 ${found} 次`,
            en: `old_text occurs ${found} times; give more of the text around it, or set replace_all`,
          },
      { details: { found } },
    );
  }
}

/** What the file system says, as an expected failure; what is not known stays what it is. */
export function fromFileSystem(error: unknown, path: string): unknown {
  switch ((error as NodeJS.ErrnoException | undefined)?.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new PathNotFoundError(path);
    case 'ELOOP':
    case 'ENAMETOOLONG':
    case 'EINVAL':
      return new PathIllegalError(path, error);
    case 'EISDIR':
      return notFile();
    default:
      // Whatever else the system refuses: no room, no rights, too many open files.
      return error instanceof Error && 'syscall' in error ? new FileStoreError(error) : error;
  }
}

/** Runs work on the file system and throws what `fromFileSystem` makes of its failures. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromFileSystem(error, path);
  }
}
