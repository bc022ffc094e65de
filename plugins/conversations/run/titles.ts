import type { Language } from '../../../core/contracts/contract.ts';

/** The start of a message as a title: one line, at most so many characters. */
export function titleFromMessage(message: string, maxLength: number): string {
  const line = message.replace(/[\p{Cc}\s]+/gu, ' ').trim();
  const characters = [...line];
  return characters.length <= maxLength
    ? line
    : `${characters
        .slice(0, maxLength - 1)
        .join('')
        .trimEnd()}…`;
}

/** Stands until the first message gives a title. */
export const NEW_CONVERSATION: Readonly<Record<Language, string>> = { zh: '新对话', en: 'New conversation' };

/** The language that a message is written in; where it shows none, that of the request. */
export const languageOf = (message: string, otherwise: Language): Language =>
  /\p{Script=Han}/u.test(message) ? 'zh' : /\p{Script=Latin}{2}/u.test(message) ? 'en' : otherwise;
