import { randomUUID } from 'node:crypto';
import type { Language } from '../../../core/contracts/contract.ts';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { Page } from '../../../core/http/route.ts';
import { type Principal, systemPrincipal } from '../../../core/principal.ts';
import { ConversationNotFoundError } from '../errors.ts';
import type { ConversationDocument, TaskSettings } from '../models/conversation.ts';
import type { TaskDocument } from '../models/task.ts';
import { NEW_CONVERSATION } from '../run/titles.ts';
import {
  ConversationGoneError,
  ConversationRunningError,
  ConversationUnloadableError,
  ImageRefusedError,
  MessageEmptyError,
  TaskNotFoundError,
} from './errors.ts';
import { conversationIdOf, createConversationIds } from './ids.ts';
import type { TaskParts } from './parts.ts';
import { RUN_KIND, type TaskInput } from './run.ts';
import { NEW_SETTINGS, type Resolved, resolveSettings, type Wanted } from './settings.ts';
import { taskSystemText } from './system-text.ts';
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

export interface NewTask extends Wanted {
  message: string;
  /** Paths in the project directory. */
  images: readonly string[];
  conversationId?: string | undefined;
  maxIterations: number;
  language: Language;
}

export interface StartedTask {
  taskId: string;
  conversationId: string;
  createdAt: Date;
}

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
  create(
    principal: Principal,
    names: { promptName: string | null; personalizationName: string | null; language: Language },
  ): Promise<string>;
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
  sweep(): Promise<void>;
}

export function createTaskService(parts: TaskParts): TaskService {
  const { conversations, messages, tasks, runs, store, turns, slots, images, index, keepMs, log } = parts;
  const nextId = createConversationIds();

  /** @throws {AppError} DUPLICATE when the id is taken */
  const insert = (principal: Principal, _id: string, settings: TaskSettings, language: Language) =>
    store.insert(principal, {
      _id,
      kind: CONVERSATION,
      title: NEW_CONVERSATION[language],
      titleFrom: 'default',
      task: settings,
    });

  const load = async (principal: Principal, given: string): Promise<ConversationDocument> => {
    try {
      return await store.find(principal, CONVERSATION, conversationIdOf(given));
    } catch (error) {
      if (error instanceof ConversationNotFoundError) throw new ConversationUnloadableError();
      throw error;
    }
  };

  const find = async (principal: Principal, taskId: string): Promise<TaskDocument> => {
    const found = await tasks.in(principal).findOne({ _id: taskId, ownerId: principal.accountId });
    // It may not have been swept yet.
    const gone = found?.endedAt && Date.now() - found.endedAt.getTime() > keepMs;
    if (!found || gone) throw new TaskNotFoundError(taskId);
    return found;
  };

  const checkImages = async (principal: Principal, paths: readonly string[], { model }: Resolved) => {
    if (paths.length === 0) return;
    if (!model.multimodal) throw new ImageRefusedError('model', model.key);
    await images.check(principal, paths);
  };

  const inputOf = (turn: TaskInput['turn'], task: NewTask, resolved: Resolved, wantsTitle: boolean): TaskInput => {
    const { personalization } = resolved;
    return {
      turn,
      model: resolved.model.key,
      runMode: resolved.runMode,
      thinkingInterval: personalization?.thinkingInterval ?? null,
      toolIntents: personalization?.toolIntentEnabled ?? true,
      disabledCategories: personalization?.disabledToolCategories ?? [],
      system: taskSystemText(resolved.prompt, personalization),
      maxIterations: task.maxIterations,
      wantsTitle,
      language: task.language,
    };
  };

  const begin = async (
    principal: Principal,
    taskId: string,
    conversation: ConversationDocument,
    task: NewTask & { created: boolean },
    resolved: Resolved,
  ): Promise<void> => {
    const { message: content, created } = task;
    const paths = [...task.images];
    const wantsTitle = conversation.titleFrom === 'default' && (resolved.personalization?.autoGenerateTitle ?? true);
    const settings = { ...resolved.settings, hasImages: resolved.settings.hasImages || paths.length > 0 };
    await turns.begin<TaskInput>(
      principal,
      conversation,
      { content, ...(paths.length > 0 && { images: paths }) },
      {
        id: taskId,
        kind: RUN_KIND,
        set: { task: settings },
        input: (turn) => inputOf(turn, task, resolved, wantsTitle),
        events: () => [
          { type: 'user_message', data: { message: content, images: paths, timestamp: Date.now() / 1000 } },
          {
            type: 'conversation_resolved',
            data: { conversation_id: conversation._id, title: conversation.title, created },
          },
        ],
      },
    );
  };

  /** @throws {AppError} DUPLICATE when the id of a new conversation is taken */
  const start = async (
    principal: Principal,
    task: NewTask,
    known: ConversationDocument | undefined,
    resolved: Resolved,
  ): Promise<StartedTask> => {
    const taskId = randomUUID();
    const conversationId = known?._id ?? nextId();
    const { createdAt } = await slots.take(principal, { id: taskId, conversationId });
    let made: ConversationDocument | undefined;
    try {
      if (!known) made = await insert(principal, conversationId, NEW_SETTINGS, task.language);
      const conversation = known ?? made;
      if (!conversation) throw new ConversationUnloadableError();
      await begin(principal, taskId, conversation, { ...task, created: made !== undefined }, resolved);
      return { taskId, conversationId, createdAt };
    } catch (error) {
      // What was not begun leaves nothing behind. What was goes on, though nobody was told of it: the conversation shows it.
      if (!(await runs.get(principal, taskId))) {
        await slots.drop(principal, taskId);
        if (made) await store.removeIdle(principal, CONVERSATION, conversationId);
      }
      // It was deleted in this very moment.
      throw error instanceof ConversationNotFoundError ? new ConversationUnloadableError() : error;
    } finally {
      slots.started(taskId);
    }
  };

  /** Repeats what makes a conversation until its id is free. */
  const withFreeId = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isDuplicate(error, '_id')) throw error;
      }
    }
  };

  return {
    async create(principal, { language, ...names }) {
      const settings = { ...NEW_SETTINGS, ...names };
      return (await withFreeId(() => insert(principal, nextId(), settings, language)))._id;
    },

    async send(principal, given) {
      const task = { ...given, message: given.message.trim().toWellFormed() };
      if (task.message === '' && task.images.length === 0) throw new MessageEmptyError();
      const known = task.conversationId === undefined ? undefined : await load(principal, task.conversationId);
      const resolved = await resolveSettings(parts, principal, task, known?.task ?? NEW_SETTINGS);
      await checkImages(principal, task.images, resolved);
      return known
        ? start(principal, task, known, resolved)
        : withFreeId(() => start(principal, task, undefined, resolved));
    },

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

    async sweep() {
      const before = new Date(Date.now() - keepMs);
      const old = tasks.acrossTenants('tasks that have ended long ago').iterate({ endedAt: { $lt: before } });
      for await (const { _id, tenantId, conversationId } of old) {
        const tenant = systemPrincipal(tenantId);
        await runs.delete(tenant, { kind: RUN_KIND, subject: conversationId, id: _id });
        await tasks.in(tenant).delete({ _id });
        index.forget(_id);
      }
    },
  };
}
