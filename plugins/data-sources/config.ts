import type { FieldError } from '../../core/errors.ts';
import { ConfigInvalidError } from './errors.ts';
import { parsePath } from './json-path.ts';
import type { DataSourceType } from './public.ts';

export interface TlsOptions {
  /** Whether the server's certificate and name are checked. Default true. */
  verify: boolean;
  /** PEM. */
  ca?: string;
  cert?: string;
  key?: string;
}

export interface DatabaseTarget {
  host: string;
  port: number;
  database: string;
  username: string;
  password: string;
  tls: TlsOptions | undefined;
}

export interface ApiTarget {
  base: URL;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  params: Record<string, unknown>;
  body: unknown;
  timeoutMs: number | undefined;
  dataPath: string;
}

export interface JsonTarget {
  /** The document itself; undefined when it is in a file. */
  data: unknown;
  filePath: string | undefined;
  dataPath: string;
}

/** Longest `timeout` of an API, in seconds. */
const MAX_TIMEOUT = 300;

class Reader {
  readonly #config: Record<string, unknown>;
  readonly #errors: FieldError[] = [];

  constructor(config: Record<string, unknown>) {
    this.#config = config;
  }

  get(name: string): unknown {
    return Object.hasOwn(this.#config, name) ? (this.#config[name] ?? undefined) : undefined;
  }

  fail(name: string, zh: string, en: string): undefined {
    this.#errors.push({ field: `config.${name}`, message: { zh: `${name} ${zh}`, en: `${name} ${en}` } });
  }

  text(name: string, options: { required?: boolean; max?: number } = {}): string {
    const value = this.get(name);
    if (value === undefined || value === '') {
      if (options.required) this.fail(name, '不能为空', 'is required');
      return '';
    }
    if (typeof value !== 'string') return this.fail(name, '应为文本', 'must be text') ?? '';
    if (value.length > (options.max ?? 1000)) this.fail(name, '过长', 'is too long');
    return value;
  }

  record(name: string): Record<string, unknown> {
    const value = this.get(name);
    if (value === undefined) return {};
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
    return this.fail(name, '应为对象', 'must be an object') ?? {};
  }

  path(name: string): string {
    const value = this.text(name);
    if (parsePath(value) === undefined) this.fail(name, '不是有效的路径', 'is not a path');
    return value;
  }

  finish(): void {
    if (this.#errors.length > 0) throw new ConfigInvalidError(this.#errors);
  }
}

/** @throws {ConfigInvalidError} */
export function readDatabaseConfig(config: Record<string, unknown>, defaultPort: number): DatabaseTarget {
  const reader = new Reader(config);
  const host = reader.text('host', { required: true, max: 253 });
  // No sockets of this machine by path, and nothing that a driver would take for an address with options.
  if (host !== '' && !/^[\p{L}\p{N}._-]+$|^[0-9a-f:.]+(%\w+)?$/iu.test(host)) {
    reader.fail('host', '应为主机名或 IP 地址', 'must be a host name or an IP address');
  }
  const given = reader.get('port') ?? defaultPort;
  const port = typeof given === 'string' && /^\d{1,5}$/.test(given) ? Number(given) : given;
  const isPort = typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536;
  if (!isPort) reader.fail('port', '应为 1 到 65535 的整数', 'must be an integer from 1 to 65535');
  const target = {
    host,
    port: isPort ? port : defaultPort,
    database: reader.text('database', { required: true, max: 128 }),
    username: reader.text('username', { required: true, max: 128 }),
    password: reader.text('password'),
    tls: readTls(reader),
  };
  reader.finish();
  return target;
}

/** `ssl`: true (checked), false, or `{verify?, ca?, cert?, key?}`. */
function readTls(reader: Reader): TlsOptions | undefined {
  const value = reader.get('ssl');
  if (value === undefined || value === false) return undefined;
  if (value === true) return { verify: true };
  if (typeof value !== 'object' || value === null)
    return reader.fail('ssl', '应为布尔值或对象', 'must be true, false or an object');
  const { verify = true, ca, cert, key } = value as Record<string, unknown>;
  const pems = { ca, cert, key };
  const wrong = Object.entries(pems).find(([, pem]) => pem !== undefined && typeof pem !== 'string');
  if (wrong) return reader.fail(`ssl.${wrong[0]}`, '应为 PEM 文本', 'must be PEM text');
  if (typeof verify !== 'boolean') return reader.fail('ssl.verify', '应为布尔值', 'must be true or false');
  const present = Object.entries(pems).filter(([, pem]) => pem !== undefined && pem !== '');
  return { verify, ...(Object.fromEntries(present) as { ca?: string; cert?: string; key?: string }) };
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/;
const OWN_HEADER =
  /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*)$/i;

/** @throws {ConfigInvalidError} */
export function readApiConfig(config: Record<string, unknown>): ApiTarget {
  const reader = new Reader(config);
  const name = reader.get('base_url') === undefined && reader.get('url') !== undefined ? 'url' : 'base_url';
  const base = URL.parse(reader.text(name, { required: true, max: 4000 }));
  if (base === null || !/^https?:$/.test(base.protocol)) {
    reader.fail(name, '应为 http 或 https 地址', 'must be an http or https address');
  }
  const method = reader.text('method').toUpperCase() || 'GET';
  if (method !== 'GET' && method !== 'POST') reader.fail('method', '应为 GET 或 POST', 'must be GET or POST');
  const headers = Object.entries(reader.record('headers')).map(([header, value]): [string, string] => {
    const text = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
    if (!HEADER_NAME.test(header) || OWN_HEADER.test(header) || /[^\t\x20-\x7e\x80-\xff]/.test(text)) {
      reader.fail(`headers.${header}`, '不是允许的请求头', 'is not a possible header');
    }
    return [header, text];
  });
  const timeout = reader.get('timeout');
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout > 0 && timeout <= MAX_TIMEOUT)) {
    reader.fail('timeout', `应为不超过 ${MAX_TIMEOUT} 的秒数`, `must be a number of seconds up to ${MAX_TIMEOUT}`);
  }
  const target = {
    base: base ?? new URL('http://invalid.invalid'),
    method: method === 'POST' ? ('POST' as const) : ('GET' as const),
    headers: Object.fromEntries(headers),
    params: reader.record('params'),
    body: reader.get('body'),
    timeoutMs: typeof timeout === 'number' ? timeout * 1000 : undefined,
    dataPath: reader.path('data_path'),
  };
  reader.finish();
  return target;
}

/** @throws {ConfigInvalidError} */
export function readJsonConfig(config: Record<string, unknown>): JsonTarget {
  const reader = new Reader(config);
  const filePath = reader.text('file_path') || undefined;
  const hasData = Object.hasOwn(config, 'data');
  if (hasData === (filePath !== undefined)) {
    reader.fail('data', '与 file_path 必须二选一', 'or file_path is required, and not both');
  }
  if (filePath !== undefined && (/^([/\\]|[a-z]:)|\0/i.test(filePath) || filePath.split(/[/\\]/).includes('..'))) {
    reader.fail('file_path', '应为数据目录 files 下的相对路径', 'must be a relative path below the folder files');
  }
  const target = { data: config.data, filePath, dataPath: reader.path('data_path') };
  reader.finish();
  return target;
}

/** @throws {ConfigInvalidError} */
export function checkConfig(type: DataSourceType, config: Record<string, unknown>): void {
  if (type === 'mysql') readDatabaseConfig(config, 3306);
  else if (type === 'postgresql') readDatabaseConfig(config, 5432);
  else if (type === 'api') readApiConfig(config);
  else readJsonConfig(config);
}
