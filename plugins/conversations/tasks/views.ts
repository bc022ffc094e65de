import type { ToolCall } from '../../../runtime/models/index.ts';
import type { ConversationDocument } from '../models/conversation.ts';
import type { MessageDocument } from '../models/message.ts';
import { localTime } from './ids.ts';
import { NEW_SETTINGS } from './settings.ts';

/** A conversation in a list. Source: tasks contract, 1.2. */
export interface ConversationSummary {
  id: string;
  title: string;
  created_at: string;
  updated_at: string;
  run_mode: string;
  model_key: string | null;
  custom_prompt_name: string | null;
  personalization_name: string | null;
  messages_count: number;
}

export interface TaskMessage {
  role: 'user' | 'assistant' | 'tool';
  content: string;
  timestamp: string;
  message_id: string;
  images?: string[];
  metadata?: Record<string, unknown>;
  reasoning_content?: string;
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
  name?: string;
}

export interface ConversationDetail {
  id: string;
  title: string;
  created_at: string;
  updated_at: string;
  messages: TaskMessage[] | null;
  todo_list: unknown;
  metadata: Record<string, unknown>;
  token_statistics: Record<string, unknown>;
}

const settingsOf = ({ task }: ConversationDocument) => ({ ...NEW_SETTINGS, ...task });

/** With the messages that an answer consists of when it used tools. */
const countOf = (conversation: ConversationDocument) =>
  conversation.messageCount + settingsOf(conversation).moreMessages;

export function summaryOf(conversation: ConversationDocument): ConversationSummary {
  const { runMode, modelKey, used, promptName, personalizationName } = settingsOf(conversation);
  return {
    id: conversation._id,
    title: conversation.title,
    created_at: localTime(conversation.createdAt),
    updated_at: localTime(conversation.updatedAt),
    run_mode: runMode ?? used?.runMode ?? 'fast',
    model_key: modelKey ?? used?.modelKey ?? null,
    custom_prompt_name: promptName,
    personalization_name: personalizationName,
    messages_count: countOf(conversation),
  };
}

/** @param messages without them: null */
export function detailOf(conversation: ConversationDocument, messages: TaskMessage[] | null): ConversationDetail {
  const { id, title, created_at, updated_at, messages_count, ...names } = summaryOf(conversation);
  const { hasImages, totalTools } = settingsOf(conversation);
  const { inputTokens, outputTokens, contextTokens, usedAt, createdAt, todoList } = conversation;
  return {
    id,
    title,
    created_at,
    updated_at,
    messages,
    todo_list: todoList ?? null,
    metadata: {
      project_path: 'project',
      thinking_mode: names.run_mode !== 'fast',
      ...names,
      has_images: hasImages,
      total_messages: messages_count,
      total_tools: totalTools,
      status: 'active',
    },
    token_statistics: {
      total_input_tokens: inputTokens,
      total_output_tokens: outputTokens,
      total_tokens: inputTokens + outputTokens,
      current_context_tokens: contextTokens,
      updated_at: localTime(usedAt ?? createdAt),
    },
  };
}

/** A stored message, or an answer as the messages that it consists of. */
export function messagesOf(message: MessageDocument): TaskMessage[] {
  const { _id, role, content, images, turn, createdAt, status, modelName } = message;
  const timestamp = localTime(createdAt);
  if (role === 'user') return [{ role, content, timestamp, message_id: _id, ...(images && { images }) }];
  const metadata = { status, ...(modelName !== undefined && { model_key: modelName }) };
  const parts = turn && turn.length > 0 ? turn : [{ role: 'assistant' as const, content }];
  const names = new Map<string, string>();
  return parts.flatMap((part, at): TaskMessage[] => {
    const own = { timestamp, message_id: at === 0 ? _id : `${_id}-${at}` };
    if (part.role === 'tool') {
      const name = names.get(part.toolCallId);
      return [
        {
          role: 'tool',
          content: part.content,
          ...own,
          tool_call_id: part.toolCallId,
          ...(name !== undefined && { name }),
        },
      ];
    }
    if (part.role !== 'assistant') return [];
    for (const call of part.toolCalls ?? []) names.set(call.id, call.name);
    return [
      {
        role: 'assistant',
        content: part.content,
        ...own,
        metadata,
        ...(part.thinking && { reasoning_content: part.thinking }),
        ...(part.toolCalls && part.toolCalls.length > 0 && { tool_calls: part.toolCalls.map(callOf) }),
      },
    ];
  });
}

const callOf = ({ id, name, arguments: args, raw }: ToolCall) => ({
  id,
  type: 'function' as const,
  // What was no JSON is told as it came.
  function: { name, arguments: args === null ? raw : JSON.stringify(args) },
});
