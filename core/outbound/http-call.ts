import { AppError } from '../errors.ts';
import type { OutboundResponse } from './outbound.ts';

export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const;
export const BODY_TYPES = ['none', 'json', 'text', 'form'] as const;
export const RESPONSE_FORMATS = ['auto', 'json', 'text', 'bytes'] as const;
export type BodyType = (typeof BODY_TYPES)[number];
export type ResponseFormat = (typeof RESPONSE_FORMATS)[number];

/** Characters of an error answer that are shown. */
const EXCERPT = 500;

const scalar = (value: unknown): string =>
  typeof value === 'string' ? value : value === null || value === undefined ? '' : JSON.stringify(value);

/** The pairs of an object for a query or a form: lists give one pair per item, null and empty names none. */
function pairs(fields: Readonly<Record<string, unknown>>): [string, string][] {
  return Object.entries(fields).flatMap(([name, value]): [string, string][] => {
    if (name === '' || value === null || value === undefined) return [];
    return [value].flat().map((item) => [name, scalar(item)]);
  });
}

/** Header names in lower case; null names none. */
export const readHeaders = (headers: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === null || value === undefined ? [] : [[name.toLowerCase(), scalar(value)]],
    ),
  );

/** @throws {AppError} HTTP_URL_INVALID */
export function withQuery(address: string, query: Readonly<Record<string, unknown>> = {}): URL {
  const url = URL.parse(address.trim());
  if (url === null) {
    throw new AppError('invalid', 'HTTP_URL_INVALID', {
      zh: '请求地址不是有效的网址',
      en: 'The address of the request is not a URL',
    });
  }
  for (const [name, value] of pairs(query)) url.searchParams.append(name, value);
  return url;
}

/** The body as it travels, with its content type. */
export function encodeBody(type: BodyType, body: unknown): { body?: string; contentType?: string } {
  if (type === 'none' || body === undefined) return {};
  switch (type) {
    case 'json':
      // Text that is JSON already is what a template of the whole body gives.
      return { body: isJson(body) ? body : JSON.stringify(body), contentType: 'application/json' };
    case 'text':
      return { body: scalar(body), contentType: 'text/plain; charset=utf-8' };
    case 'form': {
      if (typeof body === 'string') return { body, contentType: 'application/x-www-form-urlencoded' };
      if (typeof body !== 'object' || body === null || Array.isArray(body)) {
        throw new AppError('invalid', 'HTTP_BODY_INVALID', {
          zh: '表单请求体必须是对象',
          en: 'The body of a form must be an object',
        });
      }
      const form = new URLSearchParams(pairs(body as Record<string, unknown>));
      return { body: form.toString(), contentType: 'application/x-www-form-urlencoded' };
    }
  }
}

function isJson(body: unknown): body is string {
  if (typeof body !== 'string') return false;
  try {
    JSON.parse(body);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

export interface HttpResult {
  status: number;
  headers: Record<string, string>;
  /** Parsed JSON, text, or base64 of bytes. */
  body: unknown;
  /** Where the answer came from after redirects. */
  url: string;
}

/**
 * Reads an answer. `auto`: by its content type, bytes as base64 when it is neither JSON nor text.
 *
 * @throws {AppError} HTTP_RESPONSE_INVALID when `json` was asked for and it is none
 */
export function readResponse({ status, headers, body, url }: OutboundResponse, format: ResponseFormat): HttpResult {
  return { status, headers, body: readBody(headers['content-type'] ?? '', body, format), url };
}

function readBody(type: string, bytes: Uint8Array, format: ResponseFormat): unknown {
  const declaredJson = /^[^;]*[/+]json\b/i.test(type);
  const isText = declaredJson || /^\s*text\/|[/+]xml\b|javascript|x-www-form-urlencoded/i.test(type) || type === '';
  if (format === 'bytes' || (format === 'auto' && !isText)) return Buffer.from(bytes).toString('base64');
  const text = decode(type, bytes);
  if (format === 'text' || (format === 'auto' && !declaredJson)) return text;
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (format === 'auto') return text;
    throw new AppError(
      'unavailable',
      'HTTP_RESPONSE_INVALID',
      { zh: '响应不是有效的 JSON', en: 'The answer is not valid JSON' },
      { details: { excerpt: text.slice(0, EXCERPT) }, cause: error },
    );
  }
}

function decode(type: string, bytes: Uint8Array): string {
  const charset = /charset\s*=\s*"?([\w.:-]+)/i.exec(type)?.[1] ?? 'utf-8';
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch (error) {
    if (error instanceof RangeError) return new TextDecoder().decode(bytes);
    throw error;
  }
}

/** @throws {AppError} HTTP_STATUS for an answer of 400 and above */
export function refuseStatus({ status, headers, body, url }: OutboundResponse): void {
  if (status < 400) return;
  const host = new URL(url).host;
  const retryAfter = Number(headers['retry-after']);
  throw new AppError(
    // A node that fails so may be tried again when its policy says so; the kind tells whether that is promising.
    status >= 500 || status === 429 || status === 408 ? 'unavailable' : 'invalid',
    'HTTP_STATUS',
    { zh: `${host} 返回状态码 ${status}`, en: `${host} answered with status ${status}` },
    {
      details: {
        status,
        excerpt: decode(headers['content-type'] ?? '', body.subarray(0, 4 * EXCERPT)).slice(0, EXCERPT),
      },
      ...(Number.isFinite(retryAfter) && retryAfter > 0 && { retryAfter }),
    },
  );
}
