import { AppError } from '../../core/errors.ts';

export const mcpUnavailable = (server: string, cause?: unknown) =>
  new AppError(
    'unavailable',
    'MCP_UNAVAILABLE',
    { zh: `MCP 服务器 ${server} 暂时无法连接`, en: `The MCP server ${server} cannot be reached at the moment` },
    { cause },
  );

export const mcpTimeout = (server: string, ms: number) =>
  new AppError('timeout', 'MCP_TIMEOUT', {
    zh: `MCP 服务器 ${server} 在 ${ms / 1000} 秒内没有回答`,
    en: `The MCP server ${server} did not answer within ${ms / 1000} s`,
  });

/** The tool says so itself. */
export const mcpToolFailed = (server: string, why: string) =>
  new AppError('invalid', 'MCP_TOOL_FAILED', {
    zh: `MCP 服务器 ${server} 报告失败：${why}`,
    en: `The MCP server ${server} reports a failure: ${why}`,
  });

export const mcpAnswerInvalid = (server: string, cause: unknown) =>
  new AppError(
    'unavailable',
    'MCP_ANSWER_INVALID',
    {
      zh: `MCP 服务器 ${server} 的回答不符合协议`,
      en: `The answer of the MCP server ${server} does not follow the protocol`,
    },
    { cause },
  );
