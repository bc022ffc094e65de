import { AppError, type FieldError } from '../../core/errors.ts';

export const toolInvalid = (name: string, why: { zh: string; en: string }, cause?: unknown) =>
  new AppError(
    'internal',
    'TOOL_INVALID',
    { zh: `工具 ${name} 的声明不正确：${why.zh}`, en: `The tool ${name} is declared wrongly: ${why.en}` },
    { cause },
  );

export const toolDuplicate = (name: string) =>
  new AppError('internal', 'TOOL_DUPLICATE', {
    zh: `工具 ${name} 被声明了两次`,
    en: `The tool ${name} is declared twice`,
  });

export const toolUnknown = (name: string) =>
  new AppError(
    'not_found',
    'TOOL_UNKNOWN',
    { zh: `没有名为 ${name} 的工具`, en: `There is no tool ${name}` },
    { details: { tool: name } },
  );

export const toolInputInvalid = (name: string, fields: FieldError[]) =>
  new AppError(
    'invalid',
    'TOOL_INPUT_INVALID',
    { zh: `工具 ${name} 的参数不正确`, en: `Wrong arguments for the tool ${name}` },
    { fields, details: { tool: name } },
  );

export const toolTimeout = (name: string, timeoutMs: number) =>
  new AppError(
    'timeout',
    'TOOL_TIMEOUT',
    {
      zh: `工具 ${name} 在 ${timeoutMs / 1000} 秒内没有完成`,
      en: `The tool ${name} did not end within ${timeoutMs / 1000} s`,
    },
    { details: { tool: name, timeoutMs } },
  );
