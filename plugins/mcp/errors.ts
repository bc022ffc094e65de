import { COMMON_STATUS, type Failure, type Language } from '../../core/contracts/contract.ts';
import { AppError } from '../../core/errors.ts';

export const tooManySessions = () =>
  new AppError(
    'unavailable',
    'MCP_SESSIONS_FULL',
    { zh: 'MCP 会话过多，请稍后再试', en: 'There are too many MCP sessions, try again later' },
    { retryAfter: 30 },
  );

export const sessionNotFound = () =>
  new AppError('not_found', 'MCP_SESSION_NOT_FOUND', {
    zh: 'MCP 会话不存在或已过期，请重新初始化',
    en: 'The MCP session does not exist or is over; initialize another one',
  });

export const sessionMissing = () =>
  new AppError('malformed', 'MCP_SESSION_MISSING', {
    zh: '缺少 Mcp-Session-Id：会话以 initialize 请求开始',
    en: 'Mcp-Session-Id is missing: a session begins with the request initialize',
  });

export const originRefused = (origin: string) =>
  new AppError('forbidden', 'MCP_ORIGIN_REFUSED', {
    zh: `不允许来自 ${origin} 的网页访问`,
    en: `Pages of ${origin} may not use this server`,
  });

export const methodRefused = (method: string) =>
  new AppError('method_not_allowed', 'METHOD_NOT_ALLOWED', {
    zh: `此路径不支持 ${method} 方法`,
    en: `${method} is not allowed here`,
  });

/** The protocol's number for a session that is not there. */
const SESSION_NOT_FOUND = -32001;
const REFUSED = -32000;

/** An error of a request as a whole, in the form of JSON-RPC. */
export function failureOf(error: AppError, language: Language): Failure {
  const status = COMMON_STATUS[error.kind];
  return {
    status,
    body: {
      jsonrpc: '2.0',
      error: { code: status === 404 ? SESSION_NOT_FOUND : REFUSED, message: error.text[language] },
      id: null,
    },
    headers: {
      ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
      ...(status === 405 && { Allow: 'POST, DELETE' }),
    },
  };
}
