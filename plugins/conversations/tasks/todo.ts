import type { TenantModel } from '../../../core/data/database.ts';
import { oneOf, Type } from '../../../core/schema.ts';
import { defineTool, type ToolDefinition } from '../../../core/tool.ts';
import { ConversationNotFoundError } from '../errors.ts';
import type { ConversationRecord } from '../models/conversation.ts';

const STATES = ['pending', 'in_progress', 'done'] as const;

const list = Type.Object({
  overview: Type.Optional(Type.String({ maxLength: 500, description: 'What all of it is for, in a sentence' })),
  tasks: Type.Array(
    Type.Object({
      title: Type.String({ minLength: 1, maxLength: 300 }),
      status: oneOf(STATES, { default: 'pending' }),
    }),
    { maxItems: 50, description: 'All steps in order; an empty list takes the todo list away' },
  ),
});

/** Keeps the todo list of a conversation; the whole list is given each time, so a call that is repeated changes nothing. */
export const todoTool = (conversations: TenantModel<ConversationRecord>): ToolDefinition =>
  defineTool({
    name: 'todo_write',
    category: 'todo',
    description:
      'Writes the todo list of this conversation, replacing the one before. Use it for work of several steps: ' +
      'first to plan, then whenever a step has begun or is done. The user sees the list.',
    parameters: list,
    effect: 'changes',
    available: ({ conversationId }) => conversationId !== undefined,
    async call({ arguments: { overview, tasks }, principal, scope: { conversationId = '' } }) {
      const todoList =
        tasks.length === 0
          ? null
          : {
              overview: overview ?? '',
              tasks: tasks.map(({ title, status }, at) => ({ index: at + 1, title, status })),
            };
      const changed = await conversations
        .in(principal)
        .update({ _id: conversationId, ownerId: principal.accountId, deleted: false }, { $set: { todoList } });
      if (!changed) throw new ConversationNotFoundError(conversationId);
      const done = tasks.filter(({ status }) => status === 'done').length;
      return { steps: tasks.length, done };
    },
  });
