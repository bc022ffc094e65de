import { createHash } from 'node:crypto';
import type { Context } from 'koa';
import type { Contract, Failure, Language, PageRequest } from '../contracts/contract.ts';
import type { AppError } from '../errors.ts';
import { discardBody } from './body.ts';
import { EmptyReply, FileReply, type Page, ReplyWith, type Route } from './route.ts';
import { asJson, type NumberLookup, toWire } from './shape.ts';

export interface ReplyInfo {
  contract: Contract;
  numbers: NumberLookup;
  language: Language;
  paging: PageRequest;
}

/**
 * Sends what a handler returned: a file, nothing, or data in the contract's envelope.
 *
 * @returns the data in the form of the contract
 */
export async function sendReply(ctx: Context, route: Route, value: unknown, info: ReplyInfo): Promise<unknown> {
  if (value instanceof EmptyReply || route.status === 204) {
    ctx.status = value instanceof EmptyReply ? value.status : 204;
    ctx.body = null;
    return undefined;
  }
  if (value instanceof FileReply) {
    sendFile(ctx, value);
    return undefined;
  }
  const status = route.status ?? 200;
  const beside = value instanceof ReplyWith ? value.beside : undefined;
  const data = await replyData(route, value instanceof ReplyWith ? value.data : value, info);
  ctx.status = status;
  if (ctx.method === 'GET' || ctx.method === 'HEAD') setCaching(ctx, route, info.contract, data);
  if (isKnown(ctx)) {
    ctx.status = 304;
    return data;
  }
  const { contract, language } = info;
  ctx.body = route.bare
    ? data
    : contract.success(data, {
        language,
        now: new Date(),
        status,
        ...(route.message && { message: route.message }),
        ...(beside && { beside }),
      });
  return data;
}

async function replyData(route: Route, value: unknown, { contract, numbers, paging }: ReplyInfo): Promise<unknown> {
  if (route.reply === undefined) return undefined;
  if (!route.paged) return toWire(asJson(route.reply), value, contract, numbers);
  const { items, total } = value as Page<unknown>;
  const views = (await toWire({ type: 'array', items: asJson(route.reply) }, items, contract, numbers)) as unknown[];
  return contract.pageBody(views, total, paging);
}

/** The tag is of the data alone: envelopes carry the time of the answer. */
function setCaching(ctx: Context, route: Route, contract: Contract, data: unknown): void {
  if (route.cache === undefined && contract.name !== 'research') {
    ctx.set('Cache-Control', 'no-store');
    return;
  }
  ctx.set('Cache-Control', route.cache ? `private, max-age=${route.cache.maxAge}` : 'private, no-cache');
  ctx.set('Vary', 'Authorization, Accept-Language');
  ctx.etag = createHash('sha256')
    .update(JSON.stringify(data) ?? '')
    .digest('base64url')
    .slice(0, 27);
}

/**
 * Whether the client has the answer already. Not `ctx.fresh`, which sends everything again to a request with `no-cache`: that word speaks
 * to caches on the way, and `fetch` adds it by itself to every request with a condition.
 */
function isKnown(ctx: Context): boolean {
  const etag = ctx.response.get('etag');
  if (etag === '') return false;
  const known = ctx.get('if-none-match').split(',');
  return known.some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
}

function sendFile(ctx: Context, { content, options }: FileReply): void {
  ctx.set('Content-Disposition', attachment(options.filename));
  ctx.type = options.contentType;
  ctx.set('Cache-Control', 'private, no-store');
  ctx.body =
    content instanceof Uint8Array ? Buffer.from(content.buffer, content.byteOffset, content.byteLength) : content;
  if (options.size !== undefined) ctx.length = options.size;
}

/** Both forms of the name, always: the ASCII one for old clients, the other in any script (RFC 6266). */
function attachment(filename: string): string {
  const plain = filename.replace(/\p{Cc}/gu, '').toWellFormed();
  const encoded = encodeURIComponent(plain).replace(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${asciiName(plain)}"; filename*=UTF-8''${encoded}`;
}

/** The name for clients that know no other script: what is left of it in ASCII, or `download`. */
function asciiName(name: string): string {
  const dot = name.lastIndexOf('.');
  const [base, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  const ascii = (text: string) => text.replace(/[^\x20-\x7e]|["\\%/]/g, '').trim();
  return `${ascii(base) || 'download'}${ascii(extension)}`;
}

/** Sends an error in its contract's form, with the headers that it brings in any. */
export async function sendFailure(ctx: Context, failure: Failure, error: AppError): Promise<void> {
  ctx.status = failure.status;
  ctx.set('Cache-Control', 'no-store');
  const rate = error.details?.headers;
  if (rate !== undefined) ctx.set(rate as Record<string, string>);
  if (error.kind === 'too_large' && !(await discardBody(ctx.req))) ctx.set('Connection', 'close');
  if (error.retryAfter !== undefined) ctx.set('Retry-After', String(error.retryAfter));
  for (const [name, value] of Object.entries(failure.headers ?? {})) ctx.set(name, value);
  ctx.body = failure.body;
}
