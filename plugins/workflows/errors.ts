import { AppError, type LocalText } from '../../core/errors.ts';

/** The workflow does not exist, or is not the caller's; callers are never told which. */
export const workflowNotFound = (workflowId: string) =>
  new AppError(
    'not_found',
    'WORKFLOW_NOT_FOUND',
    { zh: '工作流不存在', en: 'The workflow does not exist' },
    { details: { workflowId } },
  );

export const versionNotFound = (workflowId: string, version: number) =>
  new AppError(
    'not_found',
    'WORKFLOW_VERSION_NOT_FOUND',
    { zh: '工作流版本不存在', en: 'The workflow version does not exist' },
    { details: { workflowId, version } },
  );

export const templateNotFound = () =>
  new AppError('not_found', 'WORKFLOW_TEMPLATE_NOT_FOUND', { zh: '模板不存在', en: 'The template does not exist' });

export const executionNotFound = () =>
  new AppError('not_found', 'EXECUTION_NOT_FOUND', { zh: '执行记录不存在', en: 'The execution does not exist' });

export const nodeNotFound = (nodeId: string) =>
  new AppError(
    'not_found',
    'EXECUTION_NODE_NOT_FOUND',
    { zh: '该执行中没有这个节点', en: 'The execution has no such node' },
    { details: { nodeId } },
  );

/** @param errors what is wrong with the graph, the first one first */
export const workflowInvalid = (errors: readonly LocalText[]) =>
  new AppError('invalid', 'WORKFLOW_INVALID', errors[0] ?? { zh: '工作流无效', en: 'The workflow is not valid' }, {
    details: { errors: errors.slice(0, 100) },
  });

export const listTooLarge = (bytes: number) =>
  new AppError(
    'invalid',
    'LIST_TOO_LARGE',
    {
      zh: `列表内容超过 ${bytes / 2 ** 20} MiB，请减小 limit`,
      en: `The list is larger than ${bytes / 2 ** 20} MiB: ask for less with limit`,
    },
    { details: { bytes } },
  );

export const workflowStopped = () =>
  new AppError('conflict', 'WORKFLOW_STOPPED', {
    zh: '工作流已停用，不能执行',
    en: 'The workflow is stopped and cannot be executed',
  });

export const workflowChanged = () =>
  new AppError('conflict', 'WORKFLOW_CHANGED', {
    zh: '工作流刚刚被修改，请重试',
    en: 'The workflow was changed at the same moment, try again',
  });

export const notWaiting = (nodeId: string) =>
  new AppError(
    'conflict',
    'NODE_NOT_WAITING',
    { zh: `节点 ${nodeId} 没有在等待审批`, en: `The node ${nodeId} does not wait for an approval` },
    { details: { nodeId } },
  );

export const ambiguousNode = (nodeId: string, keys: readonly string[]) =>
  new AppError(
    'conflict',
    'NODE_KEY_REQUIRED',
    {
      zh: `节点 ${nodeId} 有多处在等待审批，请用 key 指定`,
      en: `The node ${nodeId} waits in several places, name one with key`,
    },
    { details: { nodeId, keys: keys.slice(0, 100) } },
  );

export const executionRunning = () =>
  new AppError('conflict', 'EXECUTION_RUNNING', {
    zh: '执行尚未结束，不能重试',
    en: 'The execution has not ended and cannot be retried',
  });

export const executionTooLong = (minutes: number) =>
  new AppError(
    'timeout',
    'EXECUTION_TOO_LONG',
    {
      zh: `执行时间超过上限 ${minutes} 分钟`,
      en: `The execution took longer than the limit of ${minutes} minutes`,
    },
    { details: { minutes } },
  );

/** Another time it may fit. */
export const serverDataTooLarge = (mib: number) =>
  new AppError(
    'unavailable',
    'SERVER_DATA_TOO_LARGE',
    {
      zh: `服务器上各执行的数据合计超过上限 ${mib} MiB，请稍后重试`,
      en: `The data of all executions of the server is larger than ${mib} MiB, try again later`,
    },
    { details: { mib } },
  );

export const tooDeep = (depth: number) =>
  new AppError(
    'invalid',
    'WORKFLOW_TOO_DEEP',
    { zh: `子工作流嵌套超过 ${depth} 层`, en: `Sub-workflows are nested deeper than ${depth} levels` },
    { details: { depth } },
  );

/** What a node says when its own rules fail it; the message is for people. */
export const nodeFailed = (code: string, zh: string, en: string, details?: Record<string, unknown>) =>
  new AppError('invalid', code, { zh, en }, details ? { details } : {});
