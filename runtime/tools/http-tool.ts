import { AppError } from '../../core/errors.ts';
import { encodeBody, METHODS, readHeaders, readResponse, withQuery } from '../../core/outbound/http-call.ts';
import type { Outbound } from '../../core/outbound/outbound.ts';
import { type TObject, Type } from '../../core/schema.ts';

type Settings = Readonly<Record<string, unknown>>;

/** A tool that sends HTTP requests, as its settings have it. */
export interface HttpTool {
  readonly description: string;
  readonly parameters: TObject;
  /** @returns status, and the body as JSON, text, or base64 */
  call(
    args: Record<string, unknown>,
    context: { outbound: Pick<Outbound, 'request'>; idempotencyKey: string; signal: AbortSignal },
  ): Promise<{ status: number; body: unknown }>;
}

const settingsInvalid = (zh: string, en: string) => new AppError('invalid', 'AGENT_TOOL_INVALID', { zh, en });

/**
 * @param settings `methods`: which may be used (default GET alone); `base_url`: nothing outside it; `headers`: sent along there
 * @throws {AppError} AGENT_TOOL_INVALID, HTTP_URL_INVALID
 */
export function createHttpTool(settings: Settings): HttpTool {
  const base =
    typeof settings.base_url === 'string' && settings.base_url !== '' ? withQuery(settings.base_url) : undefined;
  const wanted = Array.isArray(settings.methods) ? settings.methods : ['GET'];
  const allowed = METHODS.filter((method) => wanted.includes(method));
  if (allowed.length === 0) throw settingsInvalid('http 工具没有可用的方法', 'the http tool has no usable method');
  const headers =
    base && typeof settings.headers === 'object' && settings.headers !== null
      ? readHeaders(settings.headers as Settings)
      : {};
  return {
    description: `Sends an HTTP request (${allowed.join(', ')})${base ? ` below ${base.origin}${base.pathname}` : ''} and returns status and body.`,
    parameters: Type.Object({
      url: Type.String({
        description: base ? 'path below the base address, or a whole URL' : 'an http or https URL',
      }),
      method: Type.Optional(Type.Enum(allowed)),
      query: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
      body: Type.Optional(Type.Unknown({ description: 'sent as JSON' })),
    }),
    async call({ url: address, method = allowed[0], query, body }, { outbound, idempotencyKey, signal }) {
      const url = within(base, String(address), query as Settings | undefined);
      const encoded = encodeBody('json', method === 'GET' || method === 'HEAD' ? undefined : body);
      const response = await outbound.request(url, {
        method: String(method),
        headers: {
          ...(encoded.contentType && { 'content-type': encoded.contentType }),
          ...(method !== 'GET' && method !== 'HEAD' && { 'idempotency-key': idempotencyKey }),
          ...headers,
        },
        ...(encoded.body !== undefined && { body: encoded.body }),
        signal,
      });
      const { status, body: answer } = readResponse(response, 'auto');
      return { status, body: answer };
    },
  };
}

function within(base: URL | undefined, address: string, query: Settings | undefined): URL {
  if (base === undefined) return withQuery(address, query);
  const folder = base.pathname.endsWith('/') ? base.pathname : `${base.pathname}/`;
  const url = URL.parse(address.replace(/^\/+/, ''), `${base.origin}${folder}`);
  if (url?.origin !== base.origin || !`${url.pathname}/`.startsWith(folder)) {
    throw settingsInvalid('地址不在允许的范围内', `the address is outside ${base.origin}${base.pathname}`);
  }
  return withQuery(url.href, query);
}
