import { randomUUID } from 'node:crypto';
import type { Language } from '../../../core/contracts/contract.ts';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { RunEventInput } from '../../../core/run-kind.ts';
import { ConversationNotFoundError } from '../errors.ts';
import type { ConversationDocument, TaskSettings } from '../models/conversation.ts';
import { NEW_CONVERSATION } from '../run/titles.ts';
import { ConversationUnloadableError, ImageRefusedError, MessageEmptyError } from './errors.ts';
import { conversationIdOf, createConversationIds } from './ids.ts';
import type { TaskParts } from './parts.ts';
import { RUN_KIND, type TaskInput } from './run.ts';
import { NEW_SETTINGS, type Resolved, resolveSettings, type Wanted } from './settings.ts';
import { taskSystemText } from './system-text.ts';

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

export interface NewNames {
  promptName: string | null;
  personalizationName: string | null;
  language: Language;
}

/** The part of the service that makes conversations and starts tasks. */
export interface Sending {
  create(principal: Principal, names: NewNames): Promise<string>;
  send(principal: Principal, task: NewTask): Promise<StartedTask>;
}

/**
 * The order in which a task comes to be, so that a crash or a refusal between any two steps leaves nothing taken: everything is checked,
 * the account's place is taken, a conversation is made where none is named, and the turn begins.
 */
export function createSending(parts: TaskParts): Sending {
  const { runs, store, turns, slots, images } = parts;
  const nextId = createConversationIds();

  /** @throws {AppError} DUPLICATE when the id is taken */
  const insert = (principal: Principal, _id: string, task: TaskSettings, language: Language) =>
    store.insert(principal, { _id, kind: 'task', title: NEW_CONVERSATION[language], titleFrom: 'default', task });

  const load = async (principal: Principal, given: string): Promise<ConversationDocument> => {
    try {
      return await store.find(principal, 'task', conversationIdOf(given));
    } catch (error) {
      throw error instanceof ConversationNotFoundError ? new ConversationUnloadableError() : error;
    }
  };

  const checkImages = async (principal: Principal, paths: readonly string[], { model }: Resolved) => {
    if (paths.length === 0) return;
    if (!model.multimodal) throw new ImageRefusedError('model', model.key);
    await images.check(principal, paths);
  };

  const begin = async (
    principal: Principal,
    taskId: string,
    conversation: ConversationDocument,
    task: NewTask & { created: boolean },
    resolved: Resolved,
  ): Promise<void> => {
    const { message: content } = task;
    const paths = [...task.images];
    const { hasImages, totalTools, moreMessages } = conversation.task ?? NEW_SETTINGS;
    const settings = { ...resolved.settings, hasImages: hasImages || paths.length > 0, totalTools, moreMessages };
    const untitled = conversation.titleFrom === 'default';
    await turns.begin<TaskInput>(
      principal,
      conversation,
      { content, ...(paths.length > 0 && { images: paths }) },
      {
        id: taskId,
        kind: RUN_KIND,
        set: { task: settings },
        input: (turn) => ({ turn, ...inputOf(task, resolved, untitled) }),
        events: () => firstEvents(conversation, task),
      },
    );
  };

  /** @throws {AppError} DUPLICATE when the id of a new conversation is taken */
  const start = async (
    principal: Principal,
    task: NewTask,
    knownId: string | undefined,
    resolved: Resolved,
  ): Promise<StartedTask> => {
    const taskId = randomUUID();
    const conversationId = knownId ?? nextId();
    const { createdAt } = await slots.take(principal, { id: taskId, conversationId });
    const created = knownId === undefined;
    let made = false;
    try {
      // Read anew where there is one: the task before has stored its end only now that its place is free.
      const conversation = created
        ? await insert(principal, conversationId, NEW_SETTINGS, task.language)
        : await load(principal, conversationId);
      made = created;
      await begin(principal, taskId, conversation, { ...task, created }, resolved);
      return { taskId, conversationId, createdAt };
    } catch (error) {
      // What was not begun leaves nothing behind. What was goes on, though nobody was told of it: the conversation shows it.
      if (!(await runs.get(principal, taskId))) {
        await slots.drop(principal, taskId);
        if (made) await store.removeIdle(principal, 'task', conversationId);
      }
      // It was deleted in this very moment.
      throw error instanceof ConversationNotFoundError ? new ConversationUnloadableError() : error;
    } finally {
      slots.started(taskId);
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
      return withFreeId(() => start(principal, task, known?._id, resolved));
    },
  };
}

/** Repeats what makes a conversation until its id is free. */
async function withFreeId<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isDuplicate(error, '_id')) throw error;
    }
  }
}

const inputOf = (task: NewTask, resolved: Resolved, untitled: boolean): Omit<TaskInput, 'turn'> => {
  const { model, runMode, prompt, personalization } = resolved;
  return {
    model: model.key,
    runMode,
    thinkingInterval: personalization?.thinkingInterval ?? null,
    toolIntents: personalization?.toolIntentEnabled ?? true,
    disabledCategories: personalization?.disabledToolCategories ?? [],
    system: taskSystemText(prompt, personalization),
    maxIterations: task.maxIterations,
    wantsTitle: untitled && (personalization?.autoGenerateTitle ?? true),
    language: task.language,
  };
};

const firstEvents = (
  { _id, title }: ConversationDocument,
  { message, images, created }: NewTask & { created: boolean },
): RunEventInput[] => [
  { type: 'user_message', data: { message, images: [...images], timestamp: Date.now() / 1000 } },
  { type: 'conversation_resolved', data: { conversation_id: _id, title, created } },
];
