import type { TenantModel } from '../../core/data/database.ts';
import { type BucketDocument, type BucketFields, bucketId, bucketsFrom } from './model.ts';
import type { RunEvent } from './service.ts';
import type { Values } from './values.ts';

type Scope = { tenantId: string };

/** A stored bucket in memory: its events as text, decoded when somebody reads them. Shared by all readers. */
export interface Bucket {
  readonly tenantId: string;
  readonly logId: string;
  readonly runId: string;
  readonly n: number;
  readonly from: number;
  readonly to: number;
  readonly text: string;
  decoded?: RunEvent[] | Promise<RunEvent[]>;
}

interface EncodedEvent {
  type: string;
  at: number;
  data?: Record<string, unknown>;
  file?: string;
}

export interface Buckets {
  /** A bucket that is known to be stored. */
  at(scope: Scope, logId: string, n: number): Promise<Bucket>;
  cached(scope: Scope, logId: string, n: number): Bucket | undefined;
  put(bucket: Bucket): void;
  /** The bucket that holds an event, if it is stored. */
  holding(scope: Scope, logId: string, seq: number): Promise<Bucket | undefined>;
  /** The last bucket that has an event of one of the types. */
  lastOf(scope: Scope, logId: string, types: readonly string[]): Promise<Bucket | undefined>;
  /** Number and end of the last bucket of a log. */
  tail(scope: Scope, logId: string): Promise<{ n: number; to: number } | undefined>;
  /** What was stored from bucket `n` on. */
  after(scope: Scope, logId: string, n: number): Promise<Bucket[]>;
  /** The events of a bucket; a promise only when large values have to be read. */
  events(bucket: Bucket): RunEvent[] | Promise<RunEvent[]>;
}

const READ_AHEAD = 16;
const FIELDS: (keyof BucketDocument & string)[] = ['_id', 'tenantId', 'logId', 'runId', 'n', 'from', 'to', 'events'];

/**
 * Reads the buckets of event logs. Buckets never change, so what was read or just written is kept for the next reader, up to
 * `cacheBytes` in all: a thousand followers of one run read each bucket once.
 */
export function createBuckets(model: TenantModel<BucketFields>, values: Values, cacheBytes: number): Buckets {
  const cache = new Map<string, Bucket>();
  const reading = new Map<string, Promise<Bucket | undefined>>();
  let bytes = 0;

  const keyOf = (tenantId: string, logId: string, n: number) => `${tenantId}\0${logId}\0${n}`;
  // Decoded events cost about twice their text.
  const cost = (bucket: Bucket) => 200 + bucket.text.length * 3;

  const put = (bucket: Bucket) => {
    const key = keyOf(bucket.tenantId, bucket.logId, bucket.n);
    if (cache.has(key)) return;
    cache.set(key, bucket);
    bytes += cost(bucket);
    for (const [oldKey, old] of cache) {
      if (bytes <= cacheBytes || old === bucket) break;
      cache.delete(oldKey);
      bytes -= cost(old);
    }
  };

  const cached = ({ tenantId }: Scope, logId: string, n: number) => {
    const key = keyOf(tenantId, logId, n);
    const bucket = cache.get(key);
    if (bucket) {
      cache.delete(key);
      cache.set(key, bucket);
    }
    return bucket;
  };

  const keep = (document: BucketDocument): Bucket => {
    const known = cached(document, document.logId, document.n);
    if (known) return known;
    const bucket = toBucket(document);
    put(bucket);
    return bucket;
  };

  const once = (key: string, read: () => Promise<Bucket | undefined>) => {
    const running = reading.get(key);
    if (running) return running;
    const started = read().finally(() => reading.delete(key));
    reading.set(key, started);
    return started;
  };

  return {
    cached,
    put,

    async at(scope, logId, n) {
      const known = cached(scope, logId, n);
      if (known) return known;
      const found = await once(keyOf(scope.tenantId, logId, n), async () => {
        const documents = await model.in(scope).find(
          { logId, _id: { $gte: bucketId(logId, n), $lt: bucketId(logId, n + READ_AHEAD) } },
          {
            sort: { _id: 1 },
            limit: READ_AHEAD,
            fields: FIELDS,
          },
        );
        const buckets = documents.map(keep);
        return buckets[0]?.n === n ? buckets[0] : undefined;
      });
      if (!found) throw new Error(`Bucket ${n} of the event log ${logId} is missing`);
      return found;
    },

    holding: (scope, logId, seq) =>
      once(`${scope.tenantId}\0${logId}\0seq ${seq}`, async () => {
        const [document] = await model
          .in(scope)
          .find({ logId, to: { $gt: seq } }, { sort: { to: 1 }, limit: 1, fields: FIELDS });
        return document && keep(document);
      }),

    async lastOf(scope, logId, types) {
      const [document] = await model
        .in(scope)
        .find(
          { logId, types: { $in: [...types] }, _id: bucketsFrom(logId, 0) },
          { sort: { _id: -1 }, limit: 1, fields: FIELDS },
        );
      return document && keep(document);
    },

    async tail(scope, logId) {
      const last = await model
        .in(scope)
        .findOne({ logId, _id: bucketsFrom(logId, 0) }, { sort: { _id: -1 }, fields: ['n', 'to'] });
      return last && { n: last.n, to: last.to };
    },

    async after(scope, logId, n) {
      const documents = await model
        .in(scope)
        .find({ logId, _id: bucketsFrom(logId, n) }, { sort: { _id: 1 }, limit: 100, fields: FIELDS });
      return documents.map(keep);
    },

    events(bucket) {
      bucket.decoded ??= decode(bucket, values);
      return bucket.decoded;
    },
  };
}

const toBucket = (document: BucketDocument): Bucket => ({
  tenantId: document.tenantId,
  logId: document.logId,
  runId: document.runId ?? '',
  n: document.n,
  from: document.from,
  to: document.to,
  text: document.events,
});

function decode(bucket: Bucket, values: Values): RunEvent[] | Promise<RunEvent[]> {
  const encoded = JSON.parse(bucket.text) as EncodedEvent[];
  const { logId, runId, from } = bucket;
  const event = ({ type, at }: EncodedEvent, index: number, data: Record<string, unknown>): RunEvent => ({
    logId,
    runId,
    seq: from + index,
    type,
    data,
    at: new Date(at),
  });
  if (!encoded.some(({ file }) => file !== undefined)) {
    return encoded.map((each, index) => event(each, index, each.data ?? {}));
  }
  const loaded = Promise.all(
    encoded.map(async (each, index) =>
      event(
        each,
        index,
        each.file === undefined
          ? (each.data ?? {})
          : ((await values.load(bucket, { file: each.file })) as Record<string, unknown>),
      ),
    ),
  );
  // Large values are not kept beyond the readers of the moment, and a failed read is tried again by the next one.
  const forget = () => {
    bucket.decoded = undefined;
  };
  loaded.then(forget, forget);
  return loaded;
}
