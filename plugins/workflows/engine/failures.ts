import { AppError, type ErrorRecord, toErrorRecord } from '../../../core/errors.ts';
import type { Failure } from '../../../runtime/graph/index.ts';
import type { Decision } from './waits.ts';

/** The record of an error for events and outputs; the message of an unexpected one goes to the server's log only. */
export function publicError(error: unknown): ErrorRecord {
  const { kind, code, message, details, fields } = isRecordOfError(error) ? error : toErrorRecord(error);
  const expected = error instanceof AppError || isRecordOfError(error);
  return { kind, code, message, ...(expected && details && { details }), ...(fields && { fields }) };
}

const isRecordOfError = (error: unknown): error is ErrorRecord =>
  !(error instanceof Error) && typeof error === 'object' && error !== null && 'code' in error && 'message' in error;

/** The error of an execution (or of the node that stands for a sub-workflow) that one of its nodes has failed. */
export function nodeFailure({ nodeId, key, error }: Failure, nodePrefix = ''): AppError {
  const id = nodePrefix + nodeId;
  const inner = error.details?.node_id;
  const { zh, en } = error.message;
  // The reason of a sub-workflow names its node already.
  if (error.code === 'NODE_FAILED' && typeof inner === 'string') {
    return new AppError(error.kind, 'NODE_FAILED', error.message, { details: { ...error.details } });
  }
  return new AppError(
    error.kind,
    'NODE_FAILED',
    { zh: `节点 ${id} 执行失败：${zh}`, en: `The node ${id} failed: ${en}` },
    { details: { node_id: id, key, reason: error.code, ...(error.details && { details: error.details }) } },
  );
}

export const unknownType = (type: string) =>
  new AppError(
    'unavailable',
    'NODE_UNKNOWN',
    { zh: `节点类型 ${type} 不可用`, en: `The node type ${type} is not available` },
    { details: { type } },
  );

const tooLarge = (code: string, bytes: number, zh: string, en: string) => {
  const mib = Math.round(bytes / 2 ** 20);
  return new AppError(
    'too_large',
    code,
    { zh: `${zh}超过上限 ${mib} MiB`, en: `${en} larger than ${mib} MiB` },
    { details: { mib } },
  );
};

export const inputTooLarge = (bytes: number) =>
  tooLarge('NODE_INPUT_TOO_LARGE', bytes, '节点的输入与配置', 'Input and configuration of the node are');

export const resultTooLarge = (bytes: number) =>
  tooLarge('EXECUTION_RESULT_TOO_LARGE', bytes, '执行结果', 'The result of the execution is');

export const approvalTooLate = () =>
  new AppError('timeout', 'APPROVAL_TIMEOUT', { zh: '等待审批超时', en: 'Nobody has approved in time' });

export const refused = ({ comment }: Decision) =>
  new AppError(
    'cancelled',
    'APPROVAL_REJECTED',
    {
      zh: comment ? `审批被拒绝：${comment}` : '审批被拒绝',
      en: comment ? `Rejected: ${comment}` : 'Rejected',
    },
    { details: comment ? { comment } : {} },
  );
