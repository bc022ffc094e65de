import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { LocalText } from '../../../core/errors.ts';
import type { TaskStage, TaskStatus } from '../public.ts';

/** The automatic step that a task is carrying out. */
export type StepName = 'outline' | 'collect' | 'report';

export interface TaskStep {
  name: StepName;
  /** Chosen before the run is started, so that a crash in between can be made good. */
  runId: string;
  /** Only for `report`. */
  reportId?: string;
}

export interface TaskRecord {
  taskName: string;
  description: string;
  modelConfigId: string | null;
  parameters: Record<string, unknown>;
  ownerId: string;
  status: TaskStatus;
  stage: TaskStage | null;
  progress: number;
  message: LocalText | null;
  errorMessage: LocalText | null;
  /** Counts status changes; filter of every one of them, and the order of `state` events. */
  revision: number;
  step: TaskStep | null;
  /** What `start` repeats in `FAILED`. */
  failedStep: { name: StepName; reportId?: string } | null;
  /** The current outline; older ones are superseded. */
  outlineId: string | null;
  outlineVersion: number;
  /** Set once the current outline is confirmed. */
  confirmation: Confirmation | null;
  startTime: Date | null;
  finishTime: Date | null;
}

export interface Confirmation {
  confirmerId: string;
  confirmerName: string;
  at: Date;
}

export type TaskDocument = TaskRecord & Document & { tenantId: string };

const none = () => null;

export const taskModel = (database: Database) =>
  database.tenantModel<TaskRecord>(
    'report_tasks',
    {
      taskName: { type: String, required: true },
      description: { type: String, default: '' },
      modelConfigId: { type: String, default: null },
      parameters: jsonField({ required: true }),
      ownerId: { type: String, required: true },
      status: { type: String, required: true },
      stage: { type: String, default: null },
      progress: { type: Number, required: true },
      message: jsonField({ default: none }),
      errorMessage: jsonField({ default: none }),
      revision: { type: Number, required: true },
      step: jsonField({ default: none }),
      failedStep: jsonField({ default: none }),
      outlineId: { type: String, default: null },
      outlineVersion: { type: Number, required: true },
      confirmation: jsonField({ default: none }),
      startTime: { type: Date, default: null },
      finishTime: { type: Date, default: null },
    },
    {
      indexes: [
        { fields: { createdAt: -1 } },
        { fields: { status: 1, createdAt: -1 } },
        { fields: { status: 1 }, acrossTenants: true },
      ],
    },
  );
