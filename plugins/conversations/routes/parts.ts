import type { RequestInfo } from '../../../core/http/route.ts';
import { text } from '../../../core/schema.ts';
import { MAX_MESSAGE_LENGTH } from '../public.ts';

/** A message of a user, in all APIs. */
export const content = () =>
  text({ label: { zh: '消息内容', en: 'The message' }, minLength: 1, maxLength: MAX_MESSAGE_LENGTH });

/** `Last-Event-ID` of a client that sends its message again to go on where its stream broke off. */
export const lastEventId = (request: RequestInfo): { lastEventId?: number } => {
  const header = request.header('last-event-id')?.trim() ?? '';
  return /^\d{1,15}$/.test(header) ? { lastEventId: Number(header) } : {};
};
