import { randomUUID } from 'node:crypto';
import { mergedFailure } from '../contracts/merged.ts';
import { AppError } from '../errors.ts';

/** The answer, as it goes over the line, to what is no HTTP request. Its language is unknown, so the message has both. */
export function unreadableAnswer({ code }: NodeJS.ErrnoException): string {
  const [status, text, message] =
    code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large', '请求头或网址过长 (The headers or the URL are too long)']
      : code === 'HPE_INVALID_URL'
        ? [
            400,
            'Bad Request',
            '网址无效：中文等非 ASCII 字符须用百分号编码 (Invalid URL: characters that are not ASCII must be percent-encoded)',
          ]
        : [400, 'Bad Request', '请求不是有效的 HTTP (This is no valid HTTP request)'];
  const error = new AppError('malformed', 'HTTP_MALFORMED', { zh: message, en: message });
  const body = { ...mergedFailure([], error, 'zh', new Date()).body, code: status, status_code: status };
  const json = JSON.stringify(body);
  const headers = [
    `X-Trace-Id: ${randomUUID()}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(json)}`,
  ];
  return `HTTP/1.1 ${status} ${text}\r\n${headers.join('\r\n')}\r\n\r\n${json}`;
}
