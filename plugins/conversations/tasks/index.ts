import type { Database } from '../../../core/data/database.ts';
import type { PluginParts } from '../../../core/plugin.ts';
import type { Pool } from '../../../runtime/pool/index.ts';
import type { ProfileService } from '../../agents/public.ts';
import type { FileService } from '../../files/public.ts';
import { taskModel } from '../models/task.ts';
import { taskRoutes } from '../routes/tasks.ts';
import type { ConversationParts } from '../service/parts.ts';
import type { Store } from '../service/store.ts';
import type { Turns } from '../service/turns.ts';
import { createEventIndex } from './event-index.ts';
import { createImages } from './images.ts';
import { taskRunKind } from './run.ts';
import { createTaskService } from './service.ts';
import { createTaskSlots } from './slots.ts';
import { todoTool } from './todo.ts';

export interface TasksDeps {
  parts: ConversationParts;
  store: Store;
  turns: Turns;
  database: Database;
  pool: Pick<Pool, 'run'>;
  profiles: ProfileService;
  /** Absent when the plugin is disabled: then messages have no pictures. */
  files: FileService | undefined;
  options: { tasksPerAccount: number; maxIterations: number; keepDays: number };
}

/** What the tasks API adds to the plugin. */
export interface Tasks extends Required<Pick<PluginParts, 'routes' | 'nodes' | 'runKinds' | 'tools'>> {
  recover(): Promise<void>;
  /** Removes tasks that have ended long ago. */
  sweep(signal?: AbortSignal): Promise<void>;
}

export function createTasks(deps: TasksDeps): Tasks {
  const { parts, store, turns, database, pool, profiles, files, options } = deps;
  const tasks = taskModel(database);
  const { runs, log } = parts;
  const slots = createTaskSlots({ tasks, runs, limit: options.tasksPerAccount, log });
  const all = {
    ...parts,
    store,
    turns,
    tasks,
    slots,
    profiles,
    images: createImages({ pool, files }),
    index: createEventIndex(runs),
    keepMs: options.keepDays * 24 * 3600_000,
  };
  const service = createTaskService(all);
  return {
    routes: [taskRoutes(service, options)],
    nodes: [new URL('../nodes/image.ts', import.meta.url), new URL('../nodes/title.ts', import.meta.url)],
    runKinds: [turns.answeredBy(taskRunKind(all))],
    tools: [todoTool(parts.conversations)],
    recover: () => slots.recover(),
    sweep: service.sweep,
  };
}
