import type { TitleFrom } from '../public.ts';

/** The start of a message as a title: its first line that says something, cut at whole signs. */
function startOf(message: string, length: number): string {
  const line = message.split('\n').find((each) => /[\p{L}\p{N}]/u.test(each)) ?? '';
  const plain = line.replace(/[\p{Cc}\s]+/gu, ' ').trim();
  const signs = [...new Intl.Segmenter().segment(plain.slice(0, length * 8))].map(({ segment }) => segment);
  return signs.length <= length ? signs.join('') : `${signs.slice(0, length - 1).join('')}…`;
}

/** The title of a conversation after its first message; nothing when it cannot be given one. */
export function titleAfter(
  message: string,
  generated: string | null,
  length: number,
): { title?: string; titleFrom?: TitleFrom } {
  if (generated !== null) return { title: generated, titleFrom: 'generated' };
  const title = startOf(message, length);
  return title === '' ? {} : { title, titleFrom: 'message' };
}
