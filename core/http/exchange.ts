import { AppError } from '../errors.ts';
import type { ApiContext } from './api.ts';

/** What requests of the API and of mounts have in common. */

export const MAX_JSON_BYTES = 2 << 20;

/** Made once: a reason of its own with every ended request would cost more than the request. */
export const CLIENT_GONE = new Error('the client has gone away');

/** Fires when the client goes away before it has its answer. */
export function watchClient(ctx: ApiContext): AbortController {
  const end = new AbortController();
  ctx.res.once('close', () => {
    if (!ctx.res.writableFinished) end.abort(CLIENT_GONE);
  });
  return end;
}

/** An expected failure as it is; anything else is a bug, which the log learns of and the client does not. */
export function asAppError(ctx: ApiContext, error: unknown): AppError {
  if (error instanceof AppError) return error;
  ctx.state.log.error({ err: error }, 'request failed');
  return new AppError(
    'internal',
    'INTERNAL_ERROR',
    { zh: '服务器内部错误', en: 'Internal server error' },
    { cause: error },
  );
}

export const wrongType = (type: string) =>
  new AppError('malformed', 'CONTENT_TYPE_WRONG', {
    zh: `请求体类型必须是 ${type}`,
    en: `The content type must be ${type}`,
  });
