import type { Language } from '../../../core/contracts/contract.ts';

const segmenter = new Intl.Segmenter();

/**
 * The start of a message as a title: one line, at most so many characters, cut between whole signs. Empty when the message has nothing
 * that can be shown.
 */
export function titleFromMessage(message: string, maxLength: number): string {
  const line = message
    .slice(0, maxLength * 40)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim();
  if ([...line].length <= maxLength) return line;
  let title = '';
  let length = 0;
  for (const { segment } of segmenter.segment(line)) {
    length += [...segment].length;
    if (length >= maxLength) break;
    title += segment;
  }
  return `${title.trimEnd()}…`;
}

/** Stands until the first message gives a title. */
export const NEW_CONVERSATION: Readonly<Record<Language, string>> = { zh: '新对话', en: 'New conversation' };

/** The language that a message is written in; where it shows none, that of the request. */
export const languageOf = (message: string, otherwise: Language): Language =>
  /\p{Script=Han}/u.test(message) ? 'zh' : /\p{Script=Latin}{2}/u.test(message) ? 'en' : otherwise;
