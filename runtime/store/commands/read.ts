import { type Doc, decode, encode, FieldSet, isDoc, ObjectId, pick, type Raw, toNumber } from '../bson.ts';
import { type Engine, natural, optionalDoc, type Reply, type Request } from '../engine.ts';
import { CommandError } from '../errors.ts';
import { encodeKey } from '../keys.ts';
import { compileFilter } from '../match.ts';
import { splitPath, walk } from '../path.ts';
import { parsePipeline, runPipeline, splitPrefix } from '../pipeline.ts';
import { describePlan, parseSort } from '../planner.ts';
import { countMatches, find, planQuery, type Query, type Statistics } from '../query.ts';
import { compileProjection } from '../transform.ts';
import { createWriter } from './write.ts';

/** Refused rather than ignored: the result would be another one. */
export function refuseCollation(body: Doc): void {
  if (isDoc(body.collation) && body.collation.locale !== 'simple')
    throw new CommandError(238, 'Collations are not supported by the embedded store');
}

function parseFind(body: Doc): Query & { projection: Doc | undefined; singleBatch: boolean } {
  refuseCollation(body);
  if (body.tailable === true)
    throw new CommandError(2, 'error processing query: tailable cursors are not supported by the embedded store');
  for (const option of ['min', 'max', 'returnKey', 'showRecordId']) {
    const value = body[option];
    if (value === true || (isDoc(value) && Object.keys(value).length > 0)) {
      throw new CommandError(238, `The option '${option}' of find is not supported by the embedded store`);
    }
  }
  const limit = toNumber(body.limit) ?? 0;
  const projection = optionalDoc(body.projection, 'projection');
  return {
    filter: compileFilter(optionalDoc(body.filter, 'filter'), isDoc(body.let) ? body.let : undefined),
    sort: parseSort(body.sort),
    skip: natural(body.skip, 'skip'),
    limit: Math.abs(limit),
    hint: body.hint,
    projection: Object.keys(projection).length > 0 ? projection : undefined,
    singleBatch: body.singleBatch === true || limit < 0,
  };
}

/** `{ _id: value }` and nothing else, the most frequent query, needs no plan. */
function pointId(filter: unknown): { id: unknown } | undefined {
  if (!isDoc(filter)) return undefined;
  const keys = Object.keys(filter);
  if (keys.length !== 1 || keys[0] !== '_id') return undefined;
  const id = filter._id;
  if (id instanceof ObjectId || typeof id === 'string') return { id };
  return undefined;
}

export async function findCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  const ns = `${request.db}.${engine.collectionName(request)}`;
  const collection = engine.collection(request);
  const point = pointId(body.filter);
  if (point && collection && body.hint === undefined && !body.skip) {
    refuseCollation(body);
    const found = engine.database.readById(collection, point.id);
    const spec = optionalDoc(body.projection, 'projection');
    if (Object.keys(spec).length === 0) {
      engine.counters.returned++;
      return { cursor: { firstBatch: found ? [found.raw] : [], id: 0, ns } };
    }
  }
  const query = parseFind(body);
  const operation = engine.operation(body);
  const project = query.projection && rawProjection(query.projection, body.filter);
  if (!collection) return { cursor: { firstBatch: [], id: 0, ns } };
  const rows = find(engine.database, collection, query, operation);
  const source = (async function* (): AsyncGenerator<Raw[]> {
    for await (const part of rows) yield part.map(({ raw }) => (project ? project(raw) : raw));
  })();
  return engine.openCursor(ns, source, operation, { batchSize: body.batchSize, singleBatch: query.singleBatch });
}

/** A projection on stored bytes; only the fields it takes are decoded. */
export function rawProjection(spec: Doc, filter: unknown): (raw: Raw) => Raw {
  const projection = compileProjection(spec, { find: true, ...(isDoc(filter) && { filter }) });
  const fields = projection.paths && new FieldSet(projection.paths);
  return (raw) => encode(projection.apply(fields ? pick(raw, fields, true) : decode(raw)));
}

export async function aggregateCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body, db } = request;
  refuseCollation(body);
  const name = typeof body.aggregate === 'string' ? body.aggregate : '$cmd.aggregate';
  if (body.explain === true) return explainAggregate(engine, request);
  const operation = engine.operation(body);
  const source = runPipeline(body.pipeline, {
    database: engine.database,
    db,
    collection: engine.database.find(db, name),
    operation,
    writer: createWriter(engine, operation),
    hint: body.hint,
    depth: 0,
    ...(isDoc(body.let) && { variables: body.let }),
  });
  const options = optionalDoc(body.cursor, 'cursor');
  if (body.cursor === undefined)
    throw new CommandError(9, "The 'cursor' option is required, except for aggregate with the explain argument");
  return engine.openCursor(`${db}.${name}`, source, operation, { batchSize: options.batchSize });
}

export async function countCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  refuseCollation(body);
  const collection = engine.collection(request);
  const filter = compileFilter(optionalDoc(body.query, 'query'));
  const skip = natural(body.skip, 'skip');
  const limit = Math.abs(toNumber(body.limit) ?? 0);
  if (!collection) return { n: 0 };
  const query: Query = { filter, sort: [], skip: 0, limit: limit > 0 ? skip + limit : 0, hint: body.hint };
  const total = await countMatches(engine.database, collection, query, engine.operation(body));
  const n = Math.max(0, (query.limit > 0 ? Math.min(total, query.limit) : total) - skip);
  return { n };
}

export async function distinctCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  refuseCollation(body);
  const collection = engine.collection(request);
  const filter = compileFilter(optionalDoc(body.query, 'query'));
  if (typeof body.key !== 'string' || body.key === '')
    throw new CommandError(14, "BSON field 'distinct.key' must be a string");
  const parts = splitPath(body.key);
  const fields = new FieldSet([body.key]);
  const operation = engine.operation(body);
  const values = new Map<string, unknown>();
  const add = (value: unknown): void => {
    if (value === undefined) return;
    const key = encodeKey(value).toString('latin1');
    if (values.has(key)) return;
    operation.hold(key.length * 2 + 64, 'distinct');
    values.set(key, value);
  };
  try {
    if (collection) {
      for await (const rows of find(
        engine.database,
        collection,
        { filter, sort: [], skip: 0, limit: 0, hint: body.hint },
        operation,
      )) {
        for (const { raw } of rows) {
          walk(pick(raw, fields, true), parts, 0, (value) => {
            if (Array.isArray(value)) value.forEach(add);
            else add(value);
            return false;
          });
        }
      }
    }
    const sorted = [...values.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
    return { values: sorted };
  } finally {
    operation.release();
  }
}

export async function getMoreCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  if (typeof body.collection !== 'string')
    throw new CommandError(14, "BSON field 'getMore.collection' must be a string");
  return engine.getMore(toNumber(body.getMore) ?? 0, `${request.db}.${body.collection}`, body.batchSize);
}

export async function killCursorsCommand(engine: Engine, request: Request): Promise<Reply> {
  const ids = Array.isArray(request.body.cursors) ? request.body.cursors : [];
  const reply = {
    cursorsKilled: [] as unknown[],
    cursorsNotFound: [] as unknown[],
    cursorsAlive: [],
    cursorsUnknown: [],
  };
  for (const id of ids)
    (await engine.killCursor(toNumber(id) ?? 0)) ? reply.cursorsKilled.push(id) : reply.cursorsNotFound.push(id);
  return reply;
}

/** What a query would do; from verbosity `executionStats` on it is carried out. */
export async function explainCommand(engine: Engine, request: Request): Promise<Reply> {
  const inner = request.body.explain;
  if (!isDoc(inner)) throw new CommandError(14, "BSON field 'explain.explain' must be an object");
  const [name = ''] = Object.keys(inner);
  const wrapped: Request = { ...request, name, body: inner };
  if (name === 'aggregate') return explainAggregate(engine, wrapped, request.body.verbosity);
  const first = (list: unknown): Doc => (Array.isArray(list) && isDoc(list[0]) ? list[0] : {});
  const parts: Doc =
    name === 'find'
      ? inner
      : name === 'count' || name === 'distinct' || name === 'findAndModify' || name === 'findandmodify'
        ? { filter: inner.query, sort: inner.sort, limit: inner.limit, skip: inner.skip, hint: inner.hint }
        : name === 'update' || name === 'delete'
          ? { filter: first(inner[`${name}s`]).q, hint: first(inner[`${name}s`]).hint }
          : {};
  if (!['find', 'count', 'distinct', 'findAndModify', 'findandmodify', 'update', 'delete'].includes(name))
    throw new CommandError(59, `Explain failed due to unknown command: ${name}`);
  return explainQuery(
    engine,
    wrapped,
    parseFind({ filter: parts.filter ?? {}, sort: parts.sort, limit: parts.limit, skip: parts.skip, hint: parts.hint }),
    optionalDoc(parts.filter, 'filter'),
    request.body.verbosity,
  );
}

async function explainAggregate(engine: Engine, request: Request, verbosity: unknown = 'queryPlanner'): Promise<Reply> {
  const { query, rest } = splitPrefix(parsePipeline(request.body.pipeline), { hint: request.body.hint });
  const reply = await explainQuery(engine, request, query, { pipeline: 'prefix' }, verbosity);
  return rest.length === 0
    ? reply
    : {
        ...reply,
        stages: [
          { $cursor: { queryPlanner: reply.queryPlanner } },
          ...rest.map(({ name, spec }) => ({ [name]: spec })),
        ],
      };
}

async function explainQuery(
  engine: Engine,
  request: Request,
  query: Query,
  filter: Doc,
  verbosity: unknown,
): Promise<Reply> {
  const collection = engine.collection(request);
  const namespace = `${request.db}.${engine.collectionName(request)}`;
  if (!collection)
    return { explainVersion: '1', queryPlanner: { namespace, winningPlan: { stage: 'EOF' }, rejectedPlans: [] } };
  const plan = planQuery(engine.database, collection, query);
  const sorted =
    query.sort.length === 0 || (plan.kind === 'index' && plan.sorted) || query.sort[0]?.path === '$natural';
  const input = describePlan(plan, filter);
  const winningPlan = sorted
    ? input
    : {
        stage: 'SORT',
        sortPattern: Object.fromEntries(query.sort.map(({ path, descending }) => [path, descending ? -1 : 1])),
        inputStage: input,
      };
  const reply: Reply = {
    explainVersion: '1',
    queryPlanner: { namespace, parsedQuery: filter, winningPlan, rejectedPlans: [] },
    command: request.body,
    serverInfo: { version: '7.0.0' },
  };
  if (verbosity === 'queryPlanner') return reply;
  const statistics: Statistics = { keysExamined: 0, docsExamined: 0 };
  const begin = performance.now();
  let nReturned = 0;
  for await (const rows of find(engine.database, collection, query, engine.operation({}), plan, statistics))
    nReturned += rows.length;
  reply.executionStats = {
    executionSuccess: true,
    nReturned,
    executionTimeMillis: Math.round(performance.now() - begin),
    totalKeysExamined: statistics.keysExamined,
    totalDocsExamined: statistics.docsExamined,
    executionStages: winningPlan,
  };
  return reply;
}
