import type { IncomingMessage } from 'node:http';
import inflate from 'inflation';
import type { Context } from 'koa';
import getRawBody from 'raw-body';
import { AppError } from '../errors.ts';

/** Deeper JSON is refused: everything behind walks values recursively. */
const MAX_DEPTH = 64;

export type BodyKind = 'json' | 'form' | 'multipart' | 'none' | 'other';

/** How the body of a request travels, by its content type; `none` when there is no body. */
export function bodyKind(ctx: Context): BodyKind {
  if (ctx.request.length === 0 || (ctx.request.length === undefined && ctx.get('transfer-encoding') === ''))
    return 'none';
  if (ctx.is('json', '+json')) return 'json';
  if (ctx.is('urlencoded')) return 'form';
  return ctx.is('multipart') ? 'multipart' : 'other';
}

export const tooLarge = (limit: number): AppError =>
  new AppError('too_large', 'BODY_TOO_LARGE', {
    zh: `请求体超过 ${formatBytes(limit)} 的上限`,
    en: `The body exceeds the limit of ${formatBytes(limit)}`,
  });

/** What is read of a body that nobody wants, and for how long. */
const UNWANTED = { bytes: 1 << 30, ms: 60_000 };

/**
 * Lets the rest of a body go by. Most clients listen for an answer only when they have sent everything, and one that is still sending when
 * the connection is closed never sees it.
 *
 * @returns whether that was all of it: else nothing more can come over the connection
 */
export async function discardBody(request: IncomingMessage): Promise<boolean> {
  if (request.complete || request.destroyed) return request.complete;
  if (Number(request.headers['content-length'] ?? 0) > UNWANTED.bytes) return false;
  let left = UNWANTED.bytes;
  const whole = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => whole.resolve(false), UNWANTED.ms);
  const onData = ({ length }: Buffer) => {
    left -= length;
    if (left < 0) whole.resolve(false);
  };
  const onEnd = () => whole.resolve(request.complete);
  request.unpipe();
  request.on('data', onData).once('end', onEnd).once('close', onEnd).once('error', onEnd);
  request.resume();
  try {
    return await whole.promise;
  } finally {
    clearTimeout(timer);
    request.off('data', onData);
    // What still comes is not read.
    if (left < 0) request.pause();
  }
}

export const malformed = (zh: string, en: string, cause?: unknown): AppError =>
  new AppError('malformed', 'BODY_MALFORMED', { zh, en }, { cause });

const formatBytes = (bytes: number) =>
  bytes >= 1 << 20 ? `${Math.round(bytes / (1 << 20))} MiB` : `${Math.round(bytes / 1024)} KiB`;

/**
 * Reads a JSON body: UTF-8 only, limited in bytes (after decompression) and depth.
 *
 * @throws {AppError} BODY_TOO_LARGE, BODY_MALFORMED
 */
export async function readJson(ctx: Context, limit: number): Promise<unknown> {
  const declared = ctx.request.length;
  if (declared !== undefined && declared > limit) throw tooLarge(limit);
  const charset = ctx.request.charset.toLowerCase();
  if (charset !== '' && charset !== 'utf-8' && charset !== 'utf8' && charset !== 'us-ascii') {
    throw malformed('请求体必须使用 UTF-8 编码', 'The body must be encoded in UTF-8');
  }
  let bytes: Buffer;
  try {
    bytes = await getRawBody(inflate(ctx.req), { limit });
  } catch (error) {
    if ((error as { type?: string }).type === 'entity.too.large') throw tooLarge(limit);
    throw malformed('无法读取请求体', 'The body could not be read', error);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw malformed('请求体不是有效的 UTF-8 文本', 'The body is not valid UTF-8', error);
  }
  if (text.trim() === '') return undefined;
  if (isDeep(text))
    throw malformed(`请求体嵌套超过 ${MAX_DEPTH} 层`, `The body is nested deeper than ${MAX_DEPTH} levels`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed('请求体不是有效的 JSON', 'The body is not valid JSON', error);
  }
}

function isDeep(text: string): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (quoted) {
      if (code === 0x5c) at++;
      else if (code === 0x22) quoted = false;
    } else if (code === 0x22) quoted = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > MAX_DEPTH) return true;
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  return false;
}
