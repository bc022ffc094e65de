import type { ImagePart as ModelImage, ModelMessage, ToolCall } from '../../runtime/models/index.ts';
import { requestInvalid } from './errors.ts';
import { type ChatRequest, checkText, checkToolCall, readContent, type ToolCallPart } from './schema.ts';

/** The messages of a request as an agent's turn has them. */
export interface Conversation {
  /** Texts of the system messages at the beginning. */
  system: string;
  history: ModelMessage[];
  /** Text of the last message when it is the user's; empty: the history is to be answered. */
  message: string;
  images: ModelImage[];
}

/** @throws {AppError} REQUEST_INVALID */
export function readMessages(messages: ChatRequest['messages']): Conversation {
  const read = messages.map((message, index) => readMessage({ ...message }, `messages[${index}]`));
  const begin = read.findIndex(({ role }) => role !== 'system');
  const leading = begin < 0 ? read : read.slice(0, begin);
  const rest = begin < 0 ? [] : read.slice(begin);
  const system = leading.map(({ content }) => content).join('\n\n');
  const last = rest.at(-1);
  if (last === undefined) {
    throw requestInvalid('messages', '至少需要一条用户消息', 'needs a message beside those of the system');
  }
  if (last.role !== 'user') return { system, history: rest, message: '', images: [] };
  const parts = typeof last.content === 'string' ? [{ type: 'text' as const, text: last.content }] : last.content;
  const message = parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
  const images = parts.filter((part) => part.type === 'image');
  if (message.trim() === '' && images.length === 0) {
    throw requestInvalid(`messages[${messages.length - 1}].content`, '不能为空', 'must not be empty');
  }
  return { system, history: rest.slice(0, -1), message, images };
}

function readMessage(message: Record<string, unknown>, at: string): ModelMessage {
  const { role, content, tool_calls: calls, tool_call_id: callId, name } = message;
  const plain = () =>
    readContent(content, `${at}.content`, false)
      .flatMap((part) => (part.type === 'text' ? [part.text] : []))
      .join('\n');
  switch (role) {
    case 'system':
    case 'developer':
      return { role: 'system', content: plain() };
    case 'user':
      return { role, content: userContent(content, `${at}.content`, name) };
    case 'assistant':
      return readAnswer(content === undefined || content === null ? '' : plain(), calls, at);
    case 'tool':
      return { role, toolCallId: checkText(callId, `${at}.tool_call_id`), content: plain() };
    default:
      throw requestInvalid(
        `${at}.role`,
        '必须是 system、developer、user、assistant 或 tool',
        'must be system, developer, user, assistant or tool',
      );
  }
}

function userContent(content: unknown, at: string, name: unknown) {
  const parts = readContent(content, at, true).map((part) =>
    part.type === 'text' ? part : { type: 'image' as const, url: part.image_url.url },
  );
  // Of several people in one conversation, who speaks.
  const speaker = typeof name === 'string' && name !== '' ? `${name}: ` : '';
  const [only] = parts;
  if (parts.length === 1 && only?.type === 'text') return speaker + only.text;
  return speaker === '' ? parts : [{ type: 'text' as const, text: speaker.trimEnd() }, ...parts];
}

function readAnswer(content: string, calls: unknown, at: string): ModelMessage {
  if (calls === undefined || calls === null) return { role: 'assistant', content };
  if (!Array.isArray(calls)) throw requestInvalid(`${at}.tool_calls`, '应为数组', 'must be an array');
  const toolCalls = calls.map((call, index) => toCall(checkToolCall(call, `${at}.tool_calls[${index}]`)));
  return { role: 'assistant', content, ...(toolCalls.length > 0 && { toolCalls }) };
}

function toCall({ id, function: { name, arguments: raw } }: ToolCallPart): ToolCall {
  try {
    const parsed: unknown = raw.trim() === '' ? {} : JSON.parse(raw);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return { id, name, arguments: parsed as Record<string, unknown>, raw };
    }
    return { id, name, arguments: null, raw, invalid: 'not an object' };
  } catch (error) {
    return { id, name, arguments: null, raw, invalid: error instanceof Error ? error.message : String(error) };
  }
}
