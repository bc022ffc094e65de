import { AppError } from '../../core/errors.ts';

/** The agent does not exist, or is not the caller's; callers are never told which. */
export const agentNotFound = (agentId: string) =>
  new AppError(
    'not_found',
    'AGENT_NOT_FOUND',
    { zh: '智能体不存在', en: 'The agent does not exist' },
    { details: { agentId } },
  );

/** Agents of the catalogue are changed by whoever runs the installation, in their files. */
export const agentReadOnly = (agentId: string) =>
  new AppError(
    'forbidden',
    'AGENT_READ_ONLY',
    { zh: '内置智能体不能修改或删除', en: 'Agents of the catalogue cannot be changed or deleted' },
    { details: { agentId } },
  );

export const agentLimit = (limit: number) =>
  new AppError(
    'quota_exceeded',
    'AGENT_LIMIT',
    { zh: `智能体数量已达上限（${limit} 个）`, en: `The limit of ${limit} agents is reached` },
    { details: { resource: 'agent', quota: limit, used: limit } },
  );

/** A file of the catalogue is wrong; the server does not start. */
export const catalogueInvalid = (file: string, why: { zh: string; en: string }, cause?: unknown) =>
  new AppError(
    'invalid',
    'AGENT_CATALOGUE_INVALID',
    { zh: `智能体目录 ${file}：${why.zh}`, en: `Agent catalogue, ${file}: ${why.en}` },
    { cause, details: { file } },
  );
