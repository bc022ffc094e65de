import type { CallToolResult, Tool } from '@modelcontextprotocol/sdk/types.js';
import { AppError } from '../../../core/errors.ts';
import type { Caller } from '../caller.ts';

/** What a call says while it runs. */
export interface Progress {
  /** Of 0-1, where it is known. */
  fraction?: number;
  message: string;
}

export interface CallContext {
  caller: Caller;
  arguments: Record<string, unknown>;
  /** The client wants the call to end. */
  cancelled: AbortSignal;
  /** Nobody waits for the result any more; what runs goes on. */
  gone: AbortSignal;
  report(progress: Progress): void;
  /** Ids of what the call has made, for the audit log. */
  touch(id: string): void;
}

/** A tool of the server as one caller sees it. */
export interface ServedTool {
  definition: Tool;
  /** Id of the agent or workflow. */
  objectId: string;
  call(context: CallContext): Promise<CallToolResult>;
}

/** Characters of a result that a client is sent. */
const MAX_RESULT = 200_000;

export const textResult = (text: string, meta?: Record<string, unknown>): CallToolResult => ({
  content: [{ type: 'text', text: cut(text) }],
  ...(meta && { _meta: meta }),
});

/** What went wrong, for the model of the client: a tool that fails is no broken protocol. */
export const errorResult = (text: string): CallToolResult => ({
  content: [{ type: 'text', text: cut(text) }],
  isError: true,
});

export function failureResult(error: unknown, { language, log }: Caller): CallToolResult {
  if (error instanceof AppError) return errorResult(error.text[language]);
  log.error({ err: error }, 'mcp: a tool failed unexpectedly');
  return errorResult(language === 'zh' ? '服务器内部错误' : 'Internal server error');
}

const cut = (text: string) =>
  text.length <= MAX_RESULT ? text : `${text.slice(0, MAX_RESULT)}\n[cut off: ${text.length} characters in all]`;
