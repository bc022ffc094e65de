const two = (value: number) => String(value).padStart(2, '0');
const three = (value: number) => String(value).padStart(3, '0');

/** `2026-01-23T23:42:45.036`: the server's own time, without a zone, as the tasks document has times of conversations. */
export const localTime = (at: Date): string =>
  `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${three(at.getMilliseconds())}`;

/** Source: tasks document, "创建对话": `conv_20260123_234245_036`. */
export const PREFIX = 'conv_';

/**
 * Ids of conversations in the order of their making: each has a millisecond of its own, later ones are put off. Whoever finds an id taken
 * (another process, or the clock was put back) asks for the next.
 */
export function createConversationIds(now: () => number = Date.now): () => string {
  let last = 0;
  return () => {
    last = Math.max(now(), last + 1);
    const [day = '', time = ''] = localTime(new Date(last)).split('T');
    return `${PREFIX}${day.replaceAll('-', '')}_${time.replaceAll(':', '').replace('.', '_')}`;
  };
}

/** Clients may leave the prefix out. */
export const conversationIdOf = (given: string): string => (given.startsWith(PREFIX) ? given : `${PREFIX}${given}`);
