import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { LocalText } from '../../../core/errors.ts';

/** How a task ended; one that has not ended has none of these. */
export const TASK_ENDS = ['succeeded', 'failed', 'canceled'] as const;
export type TaskEnd = (typeof TASK_ENDS)[number];

/** A task of the tasks API: what a poll needs beside the event log. Its id is that of its run. */
export interface TaskRecord {
  ownerId: string;
  conversationId: string;
  /** The place among the tasks that the account has running; given back in the write that ends the task. */
  slot?: number;
  /** Process that has taken the place and starts the run, see `RunService.host`. */
  host?: string;
  cancelRequestedAt?: Date;
  end?: TaskEnd;
  endedAt?: Date;
  /** Why it failed. */
  error?: LocalText;
}
export type TaskDocument = TaskRecord & Document & { tenantId: string };

export const taskModel = (database: Database) =>
  database.tenantModel<TaskRecord>(
    'agent_tasks',
    {
      ownerId: { type: String, required: true },
      conversationId: { type: String, required: true },
      slot: Number,
      host: String,
      cancelRequestedAt: Date,
      end: { type: String, enum: TASK_ENDS },
      endedAt: Date,
      error: jsonField(),
    },
    {
      indexes: [
        { fields: { ownerId: 1, slot: 1 }, unique: true, partial: { slot: { $exists: true } } },
        { fields: { conversationId: 1 } },
        { fields: { slot: 1 }, partial: { slot: { $exists: true } }, acrossTenants: true },
        { fields: { endedAt: 1 }, partial: { endedAt: { $exists: true } }, acrossTenants: true },
      ],
    },
  );
