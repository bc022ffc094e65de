import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { AppError } from '../errors.ts';
import type { AddressPolicy } from './addresses.ts';
import {
  addressRefused,
  cancelled,
  codeOf,
  failed,
  requestInvalid,
  timedOut,
  tooLarge,
  tooManyRedirects,
} from './errors.ts';
import type { Outbound, OutboundLimits, OutboundResponse } from './outbound.ts';

const SHARED_HEADERS = new Set(['accept', 'accept-language', 'content-type', 'user-agent']);
/** Headers of the connection itself; the client writes them. */
const OWN_HEADERS =
  /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*)$/;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** The requests of an `Outbound`, see there. */
export function createClient(operator: OutboundLimits, addresses: AddressPolicy): Pick<Outbound, 'request' | 'close'> {
  const connectTo = buildConnector({
    timeout: operator.connectMs,
    allowH2: false,
    lookup: addresses.lookup,
  } as buildConnector.BuildOptions);
  const agent = new Agent({
    allowH2: false,
    connections: 16,
    headersTimeout: operator.firstByteMs,
    bodyTimeout: operator.firstByteMs,
    keepAliveTimeout: 4000,
    connect(options, callback) {
      try {
        addresses.checkHost(options.hostname);
      } catch (error) {
        callback(error as Error, null);
        return;
      }
      connectTo(options, (...[error, socket]) => {
        // The last word: what the socket is really connected to.
        const peer = socket?.remoteAddress;
        if (error || !socket) callback(error ?? new Error('no socket'), null);
        else if (peer === undefined || !addresses.allows(peer)) {
          socket.destroy();
          callback(addressRefused(options.hostname), null);
        } else callback(null, socket);
      });
    },
  });

  return {
    close: () => agent.destroy(),

    async request(address, { method = 'GET', headers = {}, body, signal, limits = {} } = {}) {
      const narrowed = narrow(operator, limits);
      let url = readUrl(address);
      const origin = url.origin;
      let hop: Hop = { method: method.toUpperCase(), headers: readHeaders(headers, url), body };
      const deadline = AbortSignal.timeout(narrowed.totalMs);
      const either = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
      try {
        for (let redirects = 0; ; redirects += 1) {
          signal?.throwIfAborted();
          const answer = await send(agent, url, hop, either, narrowed);
          const target = REDIRECTS.has(answer.status) ? answer.headers.location : undefined;
          if (target === undefined) return { ...answer, url: withoutCredentials(url) };
          if (redirects === narrowed.maxRedirects) throw tooManyRedirects(url.hostname, narrowed.maxRedirects);
          url = readUrl(target, url);
          url.username = '';
          url.password = '';
          hop = redirected(hop, answer.status, url.origin === origin);
        }
      } catch (error) {
        if (signal?.aborted) throw cancelled();
        throw deadline.aborted ? timedOut(url.hostname, { zh: '响应', en: 'for the whole answer' }) : named(url, error);
      }
    },
  };
}

interface Hop {
  method: string;
  headers: Record<string, string>;
  body: string | Uint8Array | undefined;
}

const narrow = (operator: OutboundLimits, wanted: Partial<OutboundLimits>): OutboundLimits =>
  Object.fromEntries(
    Object.entries(operator).map(([name, value]) => [
      name,
      Math.max(0, Math.min(value, wanted[name as keyof OutboundLimits] ?? value)),
    ]),
  ) as unknown as OutboundLimits;

function readUrl(address: string | URL, base?: URL): URL {
  const url = URL.parse(String(address), base?.href);
  if (url === null) throw requestInvalid('地址格式不正确', 'The address cannot be read');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw requestInvalid('只支持 http 和 https 地址', 'Only http and https addresses are possible');
  }
  return url;
}

function readHeaders(given: Readonly<Record<string, string>>, url: URL): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    const key = name.toLowerCase();
    if (OWN_HEADERS.test(key) || !/^[!#$%&'*+.^_`|~\w-]+$/.test(key) || /[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      throw requestInvalid(`请求头 ${name} 不允许`, `The header ${name} is not allowed`);
    }
    headers[key] = value;
  }
  if (url.username !== '' || url.password !== '') {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    headers.authorization ??= `Basic ${Buffer.from(pair).toString('base64')}`;
  }
  return { accept: '*/*', 'user-agent': 'koagent', ...headers, 'accept-encoding': 'gzip, deflate, br, zstd' };
}

/** What goes along to the next address. */
function redirected(hop: Hop, status: number, sameOrigin: boolean): Hop {
  const keepsBody = status === 307 || status === 308 || hop.method === 'GET' || hop.method === 'HEAD';
  if (!sameOrigin && keepsBody && hop.body !== undefined) {
    throw requestInvalid(
      '请求被重定向到其他站点，请求体不会转发',
      'The request was redirected to another site; its body is not sent there',
    );
  }
  const headers = Object.entries(hop.headers).filter(
    ([name]) =>
      (sameOrigin || SHARED_HEADERS.has(name) || name === 'accept-encoding') && (keepsBody || name !== 'content-type'),
  );
  return {
    method: keepsBody ? hop.method : 'GET',
    headers: Object.fromEntries(headers),
    body: keepsBody ? hop.body : undefined,
  };
}

async function send(
  agent: Agent,
  url: URL,
  { method, headers, body }: Hop,
  signal: AbortSignal,
  limits: OutboundLimits,
): Promise<Omit<OutboundResponse, 'url'>> {
  // Connecting counts here too: a host that is slow to connect may not take both times.
  const first = new AbortController();
  const timer = setTimeout(
    () => first.abort(timedOut(url.hostname, { zh: '响应', en: 'for the first byte' })),
    limits.connectMs + limits.firstByteMs,
  );
  let response: Dispatcher.ResponseData;
  try {
    response = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: method as Dispatcher.HttpMethod,
      headers,
      body: body ?? null,
      signal: AbortSignal.any([signal, first.signal]),
    });
  } finally {
    clearTimeout(timer);
  }
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) plain[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  const isRedirect = REDIRECTS.has(response.statusCode) && plain.location !== undefined;
  if (isRedirect) response.body.destroy();
  // A body that is thrown away still tells its end as an error.
  if (isRedirect) response.body.on('error', () => undefined);
  const content = isRedirect ? new Uint8Array() : await readBody(response.body, plain, url, limits);
  return { status: response.statusCode, headers: plain, body: content };
}

/** Reads the body, unpacked; what counts against the limit is what arrives and what comes out. */
async function readBody(
  body: Readable,
  headers: Record<string, string>,
  url: URL,
  { maxResponseBytes }: OutboundLimits,
): Promise<Uint8Array> {
  if (Number(headers['content-length']) > maxResponseBytes) {
    body.on('error', () => undefined).destroy();
    throw tooLarge(url.hostname, maxResponseBytes);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  const unpacked = unpack(body, headers['content-encoding']?.toLowerCase().trim() ?? 'identity');
  for await (const chunk of unpacked) {
    bytes += (chunk as Buffer).length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (bytes > maxResponseBytes) throw tooLarge(url.hostname, maxResponseBytes);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

const UNPACKERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

function unpack(body: Readable, encoding: string): AsyncIterable<unknown> {
  if (encoding === 'identity' || encoding === '') return body;
  const create = UNPACKERS[encoding];
  if (create === undefined) {
    body.on('error', () => undefined).destroy();
    throw requestInvalid('响应的压缩方式不支持', 'The answer is packed in a way that is not supported');
  }
  // Errors of either end come out of the iteration; leaving it early destroys both.
  return pipeline(body, create(), () => undefined);
}

function named(url: URL, error: unknown): unknown {
  const known = findAppError(error);
  if (known) return known;
  const code = codeOf(error);
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT')
    return timedOut(url.hostname, { zh: '连接', en: 'while connecting' });
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return timedOut(url.hostname, { zh: '响应', en: 'for the answer' });
  }
  return failed(url.hostname, error);
}

/** A refusal of the policy comes back wrapped in what the socket makes of it. */
function findAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  if (error instanceof AggregateError) return error.errors.map(findAppError).find((found) => found !== undefined);
  return error instanceof Error && error.cause !== undefined ? findAppError(error.cause) : undefined;
}

function withoutCredentials(url: URL): string {
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  return plain.href;
}
