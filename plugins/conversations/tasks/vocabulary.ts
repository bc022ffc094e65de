import type { Language } from '../../../core/contracts/contract.ts';
import type { RunEvent } from '../../../runtime/runs/service.ts';
import type { AgentEvent } from '../../agents/public.ts';

/** An event as a poll shows it. */
export interface TaskEvent {
  /** Counts from 0 without gaps over the documented events of the task. */
  idx: number;
  type: string;
  data: Record<string, unknown>;
  /** Unix seconds. */
  ts: number;
}

/** Documented data of the events of a task; what else the log has is for others. Source: tasks contract, 2.4. */
const FIELDS: Readonly<Record<AgentEvent, readonly string[]>> = {
  user_message: ['message', 'images', 'timestamp'],
  conversation_resolved: ['conversation_id', 'title', 'created'],
  ai_message_start: [],
  thinking_start: [],
  thinking_chunk: ['content'],
  thinking_end: ['full_content'],
  text_start: [],
  text_chunk: ['content', 'index', 'elapsed'],
  text_end: ['full_content'],
  tool_preparing: ['id', 'name', 'message', 'intent'],
  tool_intent: ['id', 'name', 'intent'],
  tool_start: ['id', 'name', 'arguments', 'preparing_id', 'monitor_snapshot'],
  update_action: ['id', 'preparing_id', 'status', 'result', 'message', 'awaiting_content', 'monitor_snapshot_after'],
  file_tree_update: ['tree', 'total_files', 'total_size', 'truncated'],
  token_update: [
    'cumulative_input_tokens',
    'cumulative_output_tokens',
    'cumulative_total_tokens',
    'current_context_tokens',
    'updated_at',
  ],
  context_warning: ['title', 'message', 'type'],
  // An addition: the texts of this iteration so far are void, they follow anew.
  system_message: ['content', 'discards_iteration'],
  error: [
    'message',
    'status_code',
    'error_type',
    'error_code',
    'error_text',
    'retry',
    'retry_in',
    'attempt',
    'max_attempts',
  ],
  quota_exceeded: ['type', 'reset_at'],
  task_stopped: ['message', 'reason'],
  task_complete: ['total_iterations', 'total_tool_calls', 'auto_fix_attempts', 'error'],
};

/** Fields with words for people, which the log has in both languages. */
const WORDS = new Set(['message', 'title', 'content', 'error_text']);

/** Whether an event of the log is one of those that clients see. */
export const isDocumented = (type: string): type is AgentEvent => Object.hasOwn(FIELDS, type);

/** The event in the caller's language, with what is documented of it. */
export function taskEvent(
  event: RunEvent & { type: AgentEvent },
  idx: number,
  task: { id: string; conversationId: string },
  language: Language,
): TaskEvent {
  const data: Record<string, unknown> = {};
  for (const field of FIELDS[event.type]) {
    const value = event.data[field];
    if (value !== undefined) data[field] = WORDS.has(field) ? inLanguage(value, language) : value;
  }
  return {
    idx,
    type: event.type,
    data: { ...data, task_id: task.id, conversation_id: task.conversationId },
    ts: event.at.getTime() / 1000,
  };
}

function inLanguage(value: unknown, language: Language): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const words = value as Partial<Record<Language, unknown>>;
  return typeof words.zh === 'string' && typeof words.en === 'string' ? words[language] : value;
}
