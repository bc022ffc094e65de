import type { Collection, Database, Document, TenantModel } from '../../core/data/database.ts';
import type { ErrorRecord } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import type { Run, RunStatus } from './service.ts';
import type { StoredValue } from './values.ts';

/** A run as it is stored. JSON texts are kept as text: nothing queries what is in them. */
export interface RunFields {
  kind: string;
  logId: string;
  /** Number of the first bucket that can hold something of this run. */
  logStart: number;
  ownerId: string;
  /** JSON of the principal without its token. */
  principal: string;
  status: RunStatus;
  input?: string;
  inputFile?: string;
  /** JSON of the events that the start brought along, for a crash before they were in the log. */
  events?: string;
  result?: string;
  resultFile?: string;
  /** JSON of an `ErrorRecord`. */
  error?: string;
  attempt: number;
  /** Attempts that ended with the death of their process. */
  takeovers: number;
  startedAt?: Date;
  finishedAt?: Date;
  /** True until everything that belongs to the end is done (`settled` too). */
  open?: boolean;
  /** The process that holds the run, see `Hosts`. */
  holder?: string;
  /** Another process was asked to cancel it. */
  cancelRequest?: string;
  /** Id of the thing that it is a run of (a workflow), for lists and deletion. */
  subject?: string;
  /** Lower-cased text that lists are searched in. */
  search?: string;
  /** The message of a failure in both languages, lower-cased. */
  errorText?: string;
  /** The first moment at which a waiting run goes on by itself. */
  wakeAt?: Date;
  /** What was given from outside, at most once for a key. */
  given?: GivenField[];
}

export interface GivenField extends StoredValue {
  key: string;
}
export type RunDocument = RunFields & Document & { tenantId: string };

/**
 * A piece of an event log. Inserted once, never changed; `_id` is `<logId>:<n>`, so of two writers that both believe to own
 * the end of a log one is refused. What is in one bucket became durable together.
 */
export interface BucketFields {
  logId: string;
  /** The run that wrote it; missing for events from outside a run. */
  runId?: string;
  /** Attempt of the run; 0 before it began. */
  attempt: number;
  n: number;
  /** `seq` of its first event, and that of the first event after it. */
  from: number;
  to: number;
  /** JSON array of `{type, at, data}` or `{type, at, file}`; `at` in milliseconds. */
  events: string;
  /** The types that occur in it. */
  types: string[];
  /** JSON array of `{key, json?, file?}`: results of finished steps. */
  steps?: string;
  /** Keys of nodes that had begun and not ended when the bucket was written; an attempt lists a key once. */
  started?: string[];
  /** Keys out of `started` whose attempt was ended by an orderly shutdown and does not count as cut off. */
  released?: string[];
  /** JSON of `StoredOutcome`: the run has ended with the last event of this bucket. */
  outcome?: string;
  /** Tells a repeated write of the same bucket from another writer's bucket. */
  writeId: string;
}
export type BucketDocument = BucketFields & Document & { tenantId: string };

export type StoredOutcome =
  | { status: 'succeeded'; result: StoredValue }
  | { status: 'failed'; error: ErrorRecord }
  | { status: 'cancelled'; reason: string };

export interface HostFields {
  until: Date;
}

export interface RunStore {
  runs: TenantModel<RunFields>;
  buckets: TenantModel<BucketFields>;
  hosts: Collection<HostFields & Document>;
}

export function createRunStore(database: Database): RunStore {
  return {
    runs: database.tenantModel<RunFields>(
      'runs',
      {
        kind: { type: String, required: true },
        logId: { type: String, required: true },
        logStart: { type: Number, required: true },
        ownerId: { type: String, required: true },
        principal: { type: String, required: true },
        status: { type: String, required: true },
        input: String,
        inputFile: String,
        events: String,
        result: String,
        resultFile: String,
        error: String,
        attempt: { type: Number, required: true },
        takeovers: { type: Number, required: true },
        startedAt: Date,
        finishedAt: Date,
        open: Boolean,
        holder: String,
        cancelRequest: String,
        subject: String,
        search: String,
        errorText: String,
        wakeAt: Date,
        given: {
          type: [{ key: { type: String, required: true }, json: String, file: String, _id: false }],
          default: undefined,
        },
      },
      {
        indexes: [
          { fields: { open: 1, status: 1 } },
          { fields: { open: 1, createdAt: 1 }, acrossTenants: true },
          { fields: { kind: 1, createdAt: -1 }, partial: { subject: { $exists: true } } },
          { fields: { kind: 1, createdAt: -1 }, partial: { subject: { $exists: true } }, acrossTenants: true },
          { fields: { subject: 1, createdAt: -1 }, partial: { subject: { $exists: true } } },
          { fields: { wakeAt: 1 }, partial: { status: 'waiting' }, acrossTenants: true },
        ],
      },
    ),
    buckets: database.tenantModel<BucketFields>(
      'run_log',
      {
        logId: { type: String, required: true },
        runId: String,
        attempt: { type: Number, required: true },
        n: { type: Number, required: true },
        from: { type: Number, required: true },
        to: { type: Number, required: true },
        events: { type: String, required: true },
        types: { type: [String], required: true },
        steps: String,
        started: { type: [String], default: undefined },
        released: { type: [String], default: undefined },
        outcome: String,
        writeId: { type: String, required: true },
      },
      { indexes: [{ fields: { logId: 1, to: 1 } }], timestamps: false },
    ),
    hosts: database.globalModel<HostFields>('run_hosts', { until: { type: Date, required: true } }),
  };
}

/** Ids of the buckets of one log sort by number. */
export const bucketId = (logId: string, n: number) => `${logId}:${String(n).padStart(9, '0')}`;

/** Condition on `_id` for all buckets of a log from one on. The id of another log may lie between: test `logId` as well. */
export const bucketsFrom = (logId: string, n: number) => ({ $gte: bucketId(logId, n), $lt: `${logId};` });

export const isTerminal = (status: RunStatus) =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled';

export const storedPrincipal = ({ kind, accountId, tenantId, roles }: Principal) =>
  JSON.stringify({ kind, accountId, tenantId, roles });

export const principalOf = (document: RunDocument): Principal => JSON.parse(document.principal) as Principal;

export const inputOf = (document: RunDocument): StoredValue => ({ json: document.input, file: document.inputFile });
export const resultOf = (document: RunDocument): StoredValue => ({ json: document.result, file: document.resultFile });

/** The run for its readers; `input` and `result` are loaded already. */
export function toRun(document: RunDocument, input: unknown, result: unknown): Run {
  return {
    id: document._id,
    kind: document.kind,
    tenantId: document.tenantId,
    ownerId: document.ownerId,
    logId: document.logId,
    status: document.status,
    input,
    ...(result !== undefined && { result }),
    ...(document.subject !== undefined && { subject: document.subject }),
    ...(document.error !== undefined && { error: JSON.parse(document.error) as ErrorRecord }),
    attempt: document.attempt,
    settled: document.open !== true,
    createdAt: document.createdAt,
    ...(document.startedAt && { startedAt: document.startedAt }),
    ...(document.finishedAt && { finishedAt: document.finishedAt }),
  };
}
