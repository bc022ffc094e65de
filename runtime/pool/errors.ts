import { AppError, type ErrorRecord, type FieldError, toErrorRecord } from '../../core/errors.ts';
import { type NodePart, nodeDataInvalid } from '../../core/node-check.ts';
import { NotPlainError } from './not-plain.ts';

/** Why an attempt was cut off: what died, and how. */
export type CutOffReason = 'thread' | 'process' | 'memory' | 'unresponsive' | 'start' | 'closing';

export interface CutOffDetails {
  reason: CutOffReason;
  attempt: number;
  /** True when nothing else ran beside the task: then it is the task itself that brings its worker down. */
  alone: boolean;
  /** Exit code, signal or message of what died, for logs. */
  cause?: string;
}

const CUT_OFF_TEXT: Record<CutOffReason, { zh: string; en: string }> = {
  thread: { zh: '执行节点的线程已终止', en: 'The thread that ran the node died' },
  process: { zh: '执行节点的进程已终止', en: 'The process that ran the node died' },
  memory: {
    zh: '执行节点的线程或进程超出内存上限，已被终止',
    en: 'The worker that ran the node passed its memory limit and was ended',
  },
  unresponsive: {
    zh: '执行节点的线程或进程没有响应，已被替换',
    en: 'The worker that ran the node hung and was replaced',
  },
  start: { zh: '无法启动执行节点的进程', en: 'The process that runs nodes could not be started' },
  closing: { zh: '服务正在关闭，节点未执行完', en: 'The server is shutting down; the node was not finished' },
};

/** The attempt ended without an outcome, through no decision of the node: the caller may repeat it. */
export const cutOff = (details: CutOffDetails, cause?: unknown) =>
  new AppError('unavailable', 'NODE_CUT_OFF', CUT_OFF_TEXT[details.reason], { details: { ...details }, cause });

export const nodeTimeout = (type: string, timeoutMs: number) =>
  new AppError(
    'timeout',
    'NODE_TIMEOUT',
    { zh: `节点 ${type} 超过时限 ${timeoutMs} 毫秒`, en: `Node ${type} passed its deadline of ${timeoutMs} ms` },
    { details: { type, timeoutMs } },
  );

export const nodeCancelled = (type: string) =>
  new AppError(
    'cancelled',
    'NODE_CANCELLED',
    { zh: `节点 ${type} 已取消`, en: `Node ${type} was cancelled` },
    { details: { type } },
  );

export const nodeUnknown = (type: string, version: number | undefined) =>
  new AppError(
    'not_found',
    'NODE_UNKNOWN',
    {
      zh: `没有节点类型 ${type}${version === undefined ? '' : `（版本 ${version}）`}`,
      en: `There is no node type ${type}${version === undefined ? '' : ` in version ${version}`}`,
    },
    { details: { type, ...(version !== undefined && { version }) } },
  );

export const nodeFileInvalid = (url: string, reason: string) =>
  new AppError(
    'internal',
    'NODE_FILE_INVALID',
    { zh: `节点文件 ${url} 无效：${reason}`, en: `Node file ${url} is not usable: ${reason}` },
    { details: { url, reason } },
  );

export const queueFull = (lane: string, maxQueue: number) =>
  new AppError(
    'unavailable',
    'POOL_QUEUE_FULL',
    { zh: '任务队列已满，请稍后再试', en: 'The queue of waiting tasks is full, try again later' },
    { details: { lane, maxQueue }, retryAfter: 1 },
  );

export const poolClosed = () =>
  new AppError('unavailable', 'POOL_CLOSED', { zh: '服务正在关闭', en: 'The worker pool is shut down' });

export const serviceNotAvailable = (service: string, method?: string) =>
  new AppError(
    'unavailable',
    'SERVICE_NOT_AVAILABLE',
    method === undefined
      ? { zh: `节点无法使用服务 ${service}`, en: `Service ${service} is not available to nodes` }
      : { zh: `服务 ${service} 没有可供节点调用的方法 ${method}`, en: `Service ${service} has no method ${method}` },
    { details: { service, ...(method !== undefined && { method }) } },
  );

/** Something in it cannot be copied to another thread. */
export function nodeDataNotPlain(part: NodePart, type: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  const what = error instanceof NotPlainError ? error.what : String(error);
  const message = { zh: `不是普通数据（${what}）`, en: `is not plain data (${what})` };
  return nodeDataInvalid(part, type, [{ field: error instanceof NotPlainError ? error.field : '', message }]);
}

export function serviceCallInvalid(service: string, method: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new AppError(
    'invalid',
    'SERVICE_CALL_INVALID',
    {
      zh: `对服务 ${service}.${method} 的调用只能传递普通数据：${reason}`,
      en: `Calls of ${service}.${method} take and return plain data only: ${reason}`,
    },
    { details: { service, method, reason } },
  );
}

export const serviceCallsFull = (limit: number) =>
  new AppError(
    'unavailable',
    'SERVICE_CALLS_FULL',
    { zh: `节点同时进行的服务调用超过 ${limit} 个`, en: `The node has more than ${limit} service calls under way` },
    { details: { limit } },
  );

export const eventInvalid = (type: string, reason: string) =>
  new AppError(
    'internal',
    'NODE_EVENT_INVALID',
    { zh: `节点事件 ${type} 无法发送：${reason}`, en: `Event ${type} of a node cannot be sent: ${reason}` },
    { details: { type, reason } },
  );

export const eventsStalled = (waitedMs: number) =>
  new AppError(
    'unavailable',
    'NODE_EVENTS_STALLED',
    {
      zh: `节点产生事件过快，${waitedMs} 毫秒内未被接收`,
      en: `The node emits faster than its events are taken; none was taken for ${waitedMs} ms`,
    },
    { details: { waitedMs } },
  );

export const payloadTooLarge = (bytes: number, limit: number) =>
  new AppError(
    'too_large',
    'NODE_PAYLOAD_TOO_LARGE',
    {
      zh: `节点数据 ${bytes} 字节，超过上限 ${limit} 字节`,
      en: `Node data of ${bytes} bytes passes the limit of ${limit} bytes`,
    },
    { details: { bytes, limit } },
  );

/** An error on its way between threads and processes. `stack` is for the host's log only. */
export interface WireError extends ErrorRecord {
  fields?: FieldError[];
  retryAfter?: number;
  stack?: string;
}

/** A foreign plugin may bring its own copy of the class, so the shape decides. */
const isAppError = (error: unknown): error is AppError =>
  error instanceof AppError ||
  (error instanceof Error && 'kind' in error && 'code' in error && 'text' in error && typeof error.code === 'string');

export function toWireError(error: unknown): WireError {
  if (!isAppError(error)) {
    return { ...toErrorRecord(error), ...(error instanceof Error && error.stack && { stack: error.stack }) };
  }
  return {
    kind: error.kind,
    code: error.code,
    message: error.text,
    ...(error.details && { details: plainDetails(error.details) }),
    ...(error.fields && { fields: error.fields }),
    ...(error.retryAfter !== undefined && { retryAfter: error.retryAfter }),
    // It has crossed one border already.
    ...(typeof error.cause === 'string' && { stack: error.cause }),
  };
}

/** An odd value in the details must not cost the error itself. */
function plainDetails(details: Record<string, unknown>): Record<string, unknown> {
  try {
    return JSON.parse(JSON.stringify(details));
  } catch (error) {
    return { reason: `the details could not be sent: ${error instanceof Error ? error.message : String(error)}` };
  }
}

export const fromWireError = ({ kind, code, message, details, fields, retryAfter, stack }: WireError): AppError =>
  new AppError(kind, code, message, {
    ...(details && { details }),
    ...(fields && { fields }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...(stack !== undefined && { cause: stack }),
  });
