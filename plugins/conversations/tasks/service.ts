import type { Language } from '../../../core/contracts/contract.ts';
import type { Page } from '../../../core/http/route.ts';
import { type Principal, systemPrincipal } from '../../../core/principal.ts';
import type { TaskDocument } from '../models/task.ts';
import { ConversationGoneError, ConversationRunningError, TaskNotFoundError } from './errors.ts';
import type { TaskParts } from './parts.ts';
import { RUN_KIND } from './run.ts';
import { createSending, type NewNames, type NewTask, type StartedTask } from './sending.ts';
import {
  type ConversationDetail,
  type ConversationSummary,
  detailOf,
  messagesOf,
  summaryOf,
  type TaskMessage,
} from './views.ts';
import { type TaskEvent, taskEvent } from './vocabulary.ts';

const CONVERSATION = 'task';

export interface TaskState {
  taskId: string;
  status: 'running' | 'cancel_requested' | 'succeeded' | 'failed' | 'canceled';
  createdAt: Date;
  updatedAt: Date;
  error: string | null;
  events: TaskEvent[];
  nextOffset: number;
}

/** Tasks in the background, and the conversations that they answer in. API accounts see their own. */
export interface TaskService {
  /** Names are not looked at before a message is sent. Returns the id. */
  create(principal: Principal, names: NewNames): Promise<string>;
  /**
   * Stores a message and has it answered in the background.
   *
   * @throws {AppError} MESSAGE_EMPTY, IMAGE_REFUSED, MODEL_UNKNOWN, CONVERSATION_UNLOADABLE, PERSONALIZATION_BROKEN (invalid);
   *   PROMPT_NOT_FOUND, PERSONALIZATION_NOT_FOUND; TASK_RUNNING, CONVERSATION_BUSY (conflict); TENANT_BUSY, SHUTTING_DOWN
   */
  send(principal: Principal, task: NewTask): Promise<StartedTask>;
  /**
   * The task and its events from number `from` on. While there is more than one answer holds, a task that has ended shows as running: clients
   * stop asking at any other status.
   *
   * @throws {TaskNotFoundError}
   */
  poll(principal: Principal, taskId: string, from: number, language: Language): Promise<TaskState>;
  /** Asks a task to end, and does not wait for it; one that has ended stays as it is. @throws {TaskNotFoundError} */
  cancel(principal: Principal, taskId: string): Promise<void>;
  /** Last changed first. */
  list(principal: Principal, page: { offset: number; limit: number }): Promise<Page<ConversationSummary>>;
  /** @param full with its messages. @throws {AppError} CONVERSATION_NOT_FOUND */
  get(principal: Principal, conversationId: string, full: boolean): Promise<ConversationDetail>;
  /** With its messages and tasks. @throws {AppError} CONVERSATION_NOT_FOUND; CONVERSATION_RUNNING (conflict) */
  remove(principal: Principal, conversationId: string): Promise<void>;
  /** Removes tasks that have ended long ago. */
  sweep(signal?: AbortSignal): Promise<void>;
}

export function createTaskService(parts: TaskParts): TaskService {
  const { conversations, messages, tasks, runs, store, index, keepMs, log } = parts;
  const find = async (principal: Principal, taskId: string): Promise<TaskDocument> => {
    const found = await tasks.in(principal).findOne({ _id: taskId, ownerId: principal.accountId });
    // It may not have been swept yet.
    const gone = found?.endedAt && Date.now() - found.endedAt.getTime() > keepMs;
    if (!found || gone) throw new TaskNotFoundError(taskId);
    return found;
  };

  return {
    ...createSending(parts),

    async poll(principal, taskId, from, language) {
      const task = await find(principal, taskId);
      // Read after the task: what has ended by then has all of its events.
      const { events, more, lastAt } = await index.read(principal, taskId, from);
      const { conversationId, end, endedAt, cancelRequestedAt, createdAt } = task;
      const status = end !== undefined && !more ? end : cancelRequestedAt && !end ? 'cancel_requested' : 'running';
      return {
        taskId,
        status,
        createdAt,
        updatedAt: new Date(
          Math.max(...[createdAt, lastAt, cancelRequestedAt, endedAt].map((at) => at?.getTime() ?? 0)),
        ),
        error: status === 'failed' ? (task.error?.[language] ?? null) : null,
        events: events.map(({ idx, event }) => taskEvent(event, idx, { id: taskId, conversationId }, language)),
        nextOffset: from + events.length,
      };
    },

    async cancel(principal, taskId) {
      const { end } = await find(principal, taskId);
      if (end !== undefined) return;
      // Kept first, so that a crash in the next moment does not lose it.
      await tasks
        .in(principal)
        .update(
          { _id: taskId, end: { $exists: false }, cancelRequestedAt: { $exists: false } },
          { $set: { cancelRequestedAt: new Date() } },
        );
      runs
        .cancel(principal, taskId, 'user_requested')
        .catch((error: unknown) => log.warn({ err: error, task: taskId }, 'task: cancelling failed'));
    },

    async list(principal, { offset, limit }) {
      const mine = { ownerId: principal.accountId, kind: CONVERSATION, deleted: false } as const;
      const [found, total] = await Promise.all([
        conversations.in(principal).find(mine, { sort: { updatedAt: -1, _id: -1 }, skip: offset, limit }),
        conversations.in(principal).count(mine),
      ]);
      return { items: found.map(summaryOf), total };
    },

    async get(principal, conversationId, full) {
      const conversation = await store.find(principal, CONVERSATION, conversationId);
      if (!full) return detailOf(conversation, null);
      const all: TaskMessage[] = [];
      const stored = messages.in(principal).iterate({ conversationId }, { sort: { position: 1 } });
      for await (const message of stored) all.push(...messagesOf(message));
      return detailOf(conversation, all);
    },

    async remove(principal, conversationId) {
      if (!(await store.removeIdle(principal, CONVERSATION, conversationId))) {
        const mine = { _id: conversationId, ownerId: principal.accountId, kind: CONVERSATION, deleted: false } as const;
        throw (await conversations.in(principal).findOne(mine))
          ? new ConversationRunningError()
          : new ConversationGoneError(conversationId);
      }
      const gone = await tasks.in(principal).find({ conversationId }, { fields: ['_id'] });
      await tasks.in(principal).delete({ conversationId });
      for (const { _id } of gone) index.forget(_id);
    },

    async sweep(signal) {
      const before = new Date(Date.now() - keepMs);
      const old = tasks.acrossTenants('tasks that have ended long ago').iterate({ endedAt: { $lt: before } });
      for await (const { _id, tenantId, conversationId } of old) {
        if (signal?.aborted) break;
        const tenant = systemPrincipal(tenantId);
        await runs.delete(tenant, { kind: RUN_KIND, subject: conversationId, id: _id });
        await tasks.in(tenant).delete({ _id });
        index.forget(_id);
      }
    },
  };
}
