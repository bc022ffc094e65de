import { AppError } from '../../../core/errors.ts';
import type { OutboundResponse } from '../../../core/outbound/outbound.ts';
import type { ApiTarget } from '../config.ts';
import { DataSourceError, type FailureReason, QueryCancelledError, queryRefused } from '../errors.ts';
import { asList, parsePath, readPath } from '../json-path.ts';
import type { ApiQuery, DataSourceQuery } from '../public.ts';
import type { Connector, ConnectorParts } from './connector.ts';

/** An HTTP API that answers with JSON. Requests stay below its base address and go through the guarded client. */
export function createApiConnector(
  target: ApiTarget,
  { limits, outbound }: Pick<ConnectorParts, 'limits' | 'outbound'>,
): Connector {
  const send = async (query: ApiQuery, signal?: AbortSignal): Promise<OutboundResponse> => {
    const method = readMethod(query.method ?? target.method);
    const given = query.body === undefined ? target.body : query.body;
    const body = method === 'GET' || given === undefined ? undefined : textOf(given);
    const headers = new Headers({ accept: 'application/json', ...target.headers });
    if (body !== undefined && !headers.has('content-type')) {
      headers.set('content-type', typeof given === 'string' ? 'text/plain; charset=utf-8' : 'application/json');
    }
    try {
      return await outbound.request(addressOf(target, query), {
        method,
        headers: Object.fromEntries(headers),
        ...(body !== undefined && { body }),
        ...(signal && { signal }),
        limits: { maxResponseBytes: limits.bytes, ...(target.timeoutMs !== undefined && timeLimits(target.timeoutMs)) },
      });
    } catch (error) {
      throw translated(error);
    }
  };

  return {
    async test(signal) {
      const { status } = await send({}, signal);
      // Many APIs have nothing at their base address; what counts is that they answer and let us in.
      if (status === 401 || status === 403 || status === 407 || status >= 500) throw refusedWith(status);
    },

    async query(query, signal) {
      const { status, body } = await send(readQuery(query), signal);
      if (status >= 400) throw refusedWith(status);
      const data = asList(readPath(documentOf(body), parsePath(target.dataPath) ?? []));
      return { data, count: data.length, truncated: false };
    },

    close: async () => undefined,
  };
}

const timeLimits = (ms: number) => ({ connectMs: ms, firstByteMs: ms, totalMs: ms });
const textOf = (body: unknown) => (typeof body === 'string' ? body : JSON.stringify(body));

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A path as it is, or an object, also as JSON text. */
function readQuery(query: DataSourceQuery): ApiQuery {
  let given: unknown = query;
  if (typeof query === 'string') {
    if (!query.trim().startsWith('{')) return { path: query.trim() };
    try {
      given = JSON.parse(query);
    } catch (error) {
      throw queryRefused(
        `查询不是有效的 JSON：${(error as Error).message}`,
        `The query is not valid JSON: ${(error as Error).message}`,
      );
    }
  }
  if (!isObject(given)) throw queryRefused('查询应为路径或对象', 'The query must be a path or an object');
  const { path, method, params, body, ...rest } = given;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined)
    throw queryRefused(`查询中有未知字段 ${unknown}`, `The query has an unknown field ${unknown}`);
  if (path !== undefined && typeof path !== 'string') throw queryRefused('path 应为文本', 'path must be text');
  if (params !== undefined && !isObject(params)) throw queryRefused('params 应为对象', 'params must be an object');
  return {
    ...(path !== undefined && { path }),
    ...(method !== undefined && { method: readMethod(method) }),
    ...(params !== undefined && { params }),
    ...(body !== undefined && { body }),
  };
}

function readMethod(method: unknown): 'GET' | 'POST' {
  const name = String(method).toUpperCase();
  if (name !== 'GET' && name !== 'POST') throw queryRefused('method 应为 GET 或 POST', 'method must be GET or POST');
  return name;
}

/** The address of a query: below the base, with the parameters of both. */
function addressOf({ base, params }: ApiTarget, query: ApiQuery): URL {
  const address = below(base, query.path ?? '');
  for (const [name, value] of Object.entries({ ...params, ...query.params })) {
    const values = Array.isArray(value) ? value : [value];
    address.searchParams.delete(name);
    for (const item of values) {
      if (item !== undefined && item !== null)
        address.searchParams.append(name, isObject(item) ? JSON.stringify(item) : String(item));
    }
  }
  return address;
}

function below(base: URL, path: string): URL {
  const address = new URL(base);
  if (path === '') return address;
  const [route = '', ...rest] = path.split('?');
  const query = rest.join('?');
  // Servers decode, some of them twice: what becomes a step up by then is one.
  if (
    /[\\#]|[\t\r\n]/.test(path) ||
    decodedForms(route).some((form) => form.split(/[/\\]/).some((part) => part === '..' || part === '.'))
  ) {
    throw outside();
  }
  const folder = base.pathname.endsWith('/') ? base.pathname : `${base.pathname}/`;
  address.pathname = route === '' ? base.pathname : folder + route.replace(/^\/+/, '');
  if (address.origin !== base.origin || !(address.pathname === base.pathname || address.pathname.startsWith(folder))) {
    throw outside();
  }
  // Parameters of the base (keys, versions) stay; those of the query win.
  for (const [name, value] of new URLSearchParams(query)) address.searchParams.set(name, value);
  return address;
}

function decodedForms(text: string): string[] {
  const forms = [text];
  for (let at = 0; at < 3; at += 1) {
    const last = forms.at(-1) ?? '';
    const decoded = last.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (decoded === last) break;
    forms.push(decoded);
  }
  return forms;
}

const outside = () =>
  queryRefused('路径必须位于数据源的基础地址之下', 'The path must stay below the base address of the source');

function documentOf(body: Uint8Array): unknown {
  const text = new TextDecoder().decode(body);
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new DataSourceError('answer', {
      zh: '接口返回的内容不是有效的 JSON',
      en: 'The answer of the API is not valid JSON',
    });
  }
}

const refusedWith = (status: number) =>
  status === 401 || status === 403 || status === 407
    ? new DataSourceError('login', {
        zh: `接口拒绝访问（HTTP ${status}），请检查凭据`,
        en: `The API refused access (HTTP ${status}); check the credentials`,
      })
    : new DataSourceError('answer', {
        zh: `接口返回错误（HTTP ${status}）`,
        en: `The API answered with an error (HTTP ${status})`,
      });

const REASONS: Readonly<Record<string, FailureReason>> = {
  OUTBOUND_REFUSED: 'refused',
  OUTBOUND_INVALID: 'query',
  OUTBOUND_TIMEOUT: 'timeout',
  OUTBOUND_TOO_LARGE: 'too_large',
};

function translated(error: unknown): unknown {
  if (!(error instanceof AppError)) return error;
  if (error.code === 'OUTBOUND_CANCELLED') return new QueryCancelledError();
  return error.code.startsWith('OUTBOUND_')
    ? new DataSourceError(REASONS[error.code] ?? 'connection', error.text)
    : error;
}
