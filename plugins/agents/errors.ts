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

export const promptNotFound = (name: string) =>
  new AppError(
    'not_found',
    'PROMPT_NOT_FOUND',
    { zh: 'Prompt 不存在', en: 'The prompt does not exist' },
    { details: { name } },
  );

export const personalizationNotFound = (name: string) =>
  new AppError(
    'not_found',
    'PERSONALIZATION_NOT_FOUND',
    { zh: '个性化设置不存在', en: 'The personalization does not exist' },
    { details: { name } },
  );

/** What is stored is no personalization; it was changed past the server. */
export const personalizationBroken = (name: string) =>
  new AppError(
    'invalid',
    'PERSONALIZATION_BROKEN',
    { zh: `个性化设置 ${name} 已损坏，请重新保存`, en: `The personalization ${name} is damaged; save it again` },
    { details: { name } },
  );

export const profileNameInvalid = () => {
  const message = {
    zh: '名称只能包含 1 到 64 个字母、数字、下划线和连字符',
    en: 'a name has 1 to 64 letters, digits, underscores and hyphens',
  };
  return new AppError('invalid', 'PROFILE_NAME_INVALID', message, { fields: [{ field: 'name', message }] });
};

export const profileLimit = (limit: number) =>
  new AppError('invalid', 'PROFILE_LIMIT', {
    zh: `数量已达上限（${limit} 个）`,
    en: `There are ${limit} already, which is the limit`,
  });
