import { AppError } from '../../core/errors.ts';

export const runKindUnknown = (kind: string) =>
  new AppError(
    'unavailable',
    'RUN_KIND_UNKNOWN',
    { zh: `没有插件提供运行类型 ${kind}`, en: `No plugin brings the run kind ${kind}` },
    { details: { kind } },
  );

/** What an operator has asked for in the manifest. */
export const runKindNotRemovable = (kind: string) =>
  new AppError(
    'invalid',
    'RUN_KIND_NOT_REMOVABLE',
    {
      zh: `清单字段 runtime.keepDays.${kind}：该类型的运行不能自动清除`,
      en: `Manifest: field runtime.keepDays.${kind}: runs of this kind cannot be removed after some days`,
    },
    { details: { kind } },
  );

export const shuttingDown = () =>
  new AppError(
    'unavailable',
    'SHUTTING_DOWN',
    { zh: '服务正在关闭，请稍后再试', en: 'The server is shutting down, try again later' },
    { retryAfter: 10 },
  );

export const runIdTaken = (runId: string) =>
  new AppError(
    'conflict',
    'RUN_ID_TAKEN',
    { zh: `运行编号 ${runId} 已被占用`, en: `The run id ${runId} is taken` },
    { details: { runId } },
  );

export const logIdTaken = (logId: string) =>
  new AppError(
    'conflict',
    'LOG_ID_TAKEN',
    { zh: `事件日志编号 ${logId} 已被占用`, en: `The log id ${logId} is taken` },
    { details: { logId } },
  );

export const runNotFound = (runId: string) =>
  new AppError(
    'not_found',
    'RUN_NOT_FOUND',
    { zh: `运行 ${runId} 不存在`, en: `The run ${runId} does not exist` },
    { details: { runId } },
  );

export const runAbandoned = (takeovers: number) =>
  new AppError(
    'internal',
    'RUN_ABANDONED',
    {
      zh: `运行被中断 ${takeovers} 次后放弃`,
      en: `The run was given up after it had been cut off ${takeovers} times`,
    },
    { details: { takeovers } },
  );

export const retriesExhausted = (node: string, attempts: number, cause: unknown) =>
  new AppError(
    'unavailable',
    'NODE_RETRIES_EXHAUSTED',
    {
      zh: `节点 ${node} 在 ${attempts} 次尝试中均被中断`,
      en: `The node ${node} was cut off in all of its ${attempts} attempts`,
    },
    { cause, details: { node, attempts } },
  );

export const stepBusy = (key: string) =>
  new AppError(
    'internal',
    'STEP_KEY_IN_USE',
    { zh: `步骤 ${key} 正在执行`, en: `The step ${key} is being carried out already` },
    { details: { key } },
  );

export const notStorable = (what: string, cause?: unknown) =>
  new AppError(
    'invalid',
    'VALUE_NOT_STORABLE',
    {
      zh: `${what}无法存储：必须是 JSON 数据`,
      en: `${what} cannot be stored: it must be JSON data`,
    },
    { cause },
  );

export const logOverflow = (logId: string) =>
  new AppError(
    'unavailable',
    'RUN_LOG_OVERFLOW',
    {
      zh: '事件产生的速度超过了存储速度',
      en: 'Events are appended faster than they can be stored',
    },
    { details: { logId } },
  );

export const storeFailed = (cause: unknown) =>
  new AppError(
    'unavailable',
    'RUN_STORE_FAILED',
    { zh: '运行数据暂时无法存储', en: 'Run data cannot be stored at the moment' },
    { cause, retryAfter: 5 },
  );
