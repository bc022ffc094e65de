import { AppError } from '../errors.ts';

/** Messages name hosts, never whole addresses with their path and query: those may carry keys. */

export const addressRefused = (host: string): AppError =>
  new AppError(
    'invalid',
    'OUTBOUND_REFUSED',
    {
      zh: `不允许访问 ${host}：该地址属于内部或保留网络`,
      en: `Access to ${host} is not allowed: it is an internal or reserved address`,
    },
    { details: { host } },
  );

export const requestInvalid = (zh: string, en: string): AppError =>
  new AppError('invalid', 'OUTBOUND_INVALID', { zh, en });

export const timedOut = (host: string, what: { zh: string; en: string }): AppError =>
  new AppError(
    'timeout',
    'OUTBOUND_TIMEOUT',
    { zh: `${host} ${what.zh}超时`, en: `${host}: time-out ${what.en}` },
    { details: { host } },
  );

export const tooLarge = (host: string, bytes: number): AppError =>
  new AppError(
    'too_large',
    'OUTBOUND_TOO_LARGE',
    { zh: `${host} 的响应超过 ${bytes} 字节`, en: `The answer of ${host} exceeds ${bytes} bytes` },
    { details: { host, bytes } },
  );

export const tooManyRedirects = (host: string, limit: number): AppError =>
  new AppError(
    'unavailable',
    'OUTBOUND_REDIRECTS',
    { zh: `${host} 重定向超过 ${limit} 次`, en: `${host} redirects more than ${limit} times` },
    { details: { host, limit } },
  );

export const failed = (host: string, error: unknown): AppError => {
  const reason = reasonOf(error);
  return new AppError(
    'unavailable',
    'OUTBOUND_FAILED',
    { zh: `无法访问 ${host}：${reason.zh}`, en: `${host} cannot be reached: ${reason.en}` },
    { details: { host, reason: codeOf(error) ?? 'unknown' } },
  );
};

export const cancelled = (): AppError =>
  new AppError('cancelled', 'OUTBOUND_CANCELLED', { zh: '请求已取消', en: 'The request was cancelled' });

/** The code of a network error, also of one that others are wrapped around. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string') return code;
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return codeOf(error.cause);
}

const REASONS: Readonly<Record<string, { zh: string; en: string }>> = {
  ENOTFOUND: { zh: '找不到主机', en: 'the host is unknown' },
  EAI_AGAIN: { zh: '域名解析失败', en: 'the name could not be resolved' },
  ECONNREFUSED: { zh: '连接被拒绝', en: 'the connection was refused' },
  ECONNRESET: { zh: '连接被断开', en: 'the connection was cut' },
  EPIPE: { zh: '连接被断开', en: 'the connection was cut' },
  UND_ERR_SOCKET: { zh: '连接被断开', en: 'the connection was cut' },
  EHOSTUNREACH: { zh: '主机不可达', en: 'the host is out of reach' },
  ENETUNREACH: { zh: '网络不可达', en: 'the network is out of reach' },
  ETIMEDOUT: { zh: '连接超时', en: 'the connection timed out' },
  UND_ERR_CONNECT_TIMEOUT: { zh: '连接超时', en: 'the connection timed out' },
};

/** What a network error means in words; TLS errors keep their code, which says what is wrong with the certificate. */
export function reasonOf(error: unknown): { zh: string; en: string } {
  const code = codeOf(error);
  if (code === undefined) return { zh: '通信失败', en: 'the communication failed' };
  if (/CERT|SELF_SIGNED|UNABLE_TO_|^ERR_TLS|^ERR_SSL|^EPROTO$/.test(code)) {
    return { zh: `TLS 证书或握手错误（${code}）`, en: `TLS certificate or handshake error (${code})` };
  }
  return REASONS[code] ?? { zh: `通信失败（${code}）`, en: `the communication failed (${code})` };
}
