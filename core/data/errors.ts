import mongoose from 'mongoose';
import { AppError } from '../errors.ts';

const { MongoServerError, MongoNetworkError, MongoServerSelectionError, MongoNotConnectedError } = mongoose.mongo;

/** A unique index refused a write. `details.keys` names the indexed fields, without the tenant. */
export class DuplicateError extends AppError {
  constructor(keys: string[], cause?: unknown) {
    super(
      'conflict',
      'DUPLICATE',
      { zh: `${keys.join('、')} 已存在`, en: `A document with the same ${keys.join(', ')} exists` },
      { cause, details: { keys } },
    );
  }
}

/** True when a unique index over one of these fields (or any, when none is given) refused the write. */
export const isDuplicate = (error: unknown, ...keys: string[]): error is AppError =>
  error instanceof AppError &&
  error.code === 'DUPLICATE' &&
  (keys.length === 0 || keys.some((key) => ((error.details?.keys ?? []) as string[]).includes(key)));

/** Runs a database call; expected failures of the driver come out as application errors, bugs as they are. */
export async function translated<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  if (error instanceof MongoServerError && error.code === 11000) return new DuplicateError(duplicateKeys(error), error);
  if (
    error instanceof MongoNetworkError ||
    error instanceof MongoServerSelectionError ||
    error instanceof MongoNotConnectedError ||
    error instanceof mongoose.Error.MongooseServerSelectionError
  ) {
    return new AppError(
      'unavailable',
      'DATABASE_UNAVAILABLE',
      { zh: '数据库暂时不可用', en: 'The database is not available' },
      { cause: error, retryAfter: 5 },
    );
  }
  // 10334: the server's BSONObjectTooLarge; RangeError: the driver's buffer of 16 MiB and some.
  const tooLarge = error instanceof MongoServerError && (error.code === 10334 || error.code === 17280);
  if (tooLarge || (error instanceof RangeError && /out of range|buffer/i.test(error.message))) {
    return new AppError(
      'too_large',
      'DOCUMENT_TOO_LARGE',
      { zh: '数据超过单个文档的大小上限（16 MiB）', en: 'The data exceeds the limit of one document (16 MiB)' },
      { cause: error },
    );
  }
  return error;
}

function duplicateKeys(error: mongoose.mongo.MongoServerError): string[] {
  const { keyPattern, writeErrors } = error as { keyPattern?: object; writeErrors?: unknown };
  const first = (Array.isArray(writeErrors) ? writeErrors[0] : writeErrors) as
    | { err?: { keyPattern?: object } }
    | undefined;
  const pattern = keyPattern ?? first?.err?.keyPattern;
  const fields = pattern ? Object.keys(pattern) : fieldsOfIndex(error.message);
  return fields.filter((field) => field !== 'tenantId');
}

/** `... index: tenantId_1_name_1 dup key: ...` -> tenantId, name: for servers that do not tell the pattern. */
function fieldsOfIndex(message: string): string[] {
  const name = /index: (\S+)/.exec(message)?.[1] ?? '';
  return name === '_id_' ? ['_id'] : [...name.matchAll(/(.+?)_-?1(?:_|$)/g)].map((match) => match[1] ?? '');
}
