import { calculateObjectSize } from 'bson';
import {
  type Doc,
  decode,
  encode,
  encodeStored,
  FieldSet,
  isDoc,
  ObjectId,
  pick,
  type Raw,
  toNumber,
  withIdFirst,
} from '../bson.ts';
import { type Collection, unfinishedPrefix } from '../database.ts';
import { type Engine, optionalDoc, type Reply, type Request } from '../engine.ts';
import { CommandError, sqliteCode, toCommandError } from '../errors.ts';
import { compileFilter, type Filter } from '../match.ts';
import type { Operation } from '../operation.ts';
import { parseSort } from '../planner.ts';
import { find, matching, planQuery, type Query, rawTest } from '../query.ts';
import type { Row } from '../scan.ts';
import type { Writer } from '../stages.ts';
import { checkId, checkNewId, compileUpdate, type Update, upsertSeed, withId } from '../update.ts';
import { rawProjection, refuseCollation } from './read.ts';

const maxBatch = 100_000;

/** The documents of a write command: bytes beside the body, or an array in it. */
function batch(request: Request, field: string): Raw[] {
  const given = request.sequences.get(field);
  const docs =
    given ??
    (Array.isArray(request.body[field])
      ? request.body[field].map((doc) => (isDoc(doc) ? encode(doc) : undefined))
      : undefined);
  if (!docs?.every((doc) => doc !== undefined))
    throw new CommandError(14, `BSON field '${request.name}.${field}' must be an array of objects`);
  if (docs.length === 0 || docs.length > maxBatch)
    throw new CommandError(16, `Write batch sizes must be between 1 and ${maxBatch}. Got ${docs.length} operations.`);
  return docs;
}

interface Outcome {
  n: number;
  errors: Doc[];
}

/** Runs the parts of a write command; an ordered one ends at its first error. */
async function eachPart(
  docs: Raw[],
  body: Doc,
  operation: Operation,
  run: (raw: Raw, index: number) => number | Promise<number>,
): Promise<Outcome> {
  const outcome: Outcome = { n: 0, errors: [] };
  for (const [index, raw] of docs.entries()) {
    try {
      const done = run(raw, index);
      outcome.n += typeof done === 'number' ? done : await done;
    } catch (error) {
      // A failure of the storage takes the whole group of writes back; it is not the error of one part.
      if (sqliteCode(error) !== undefined) throw error;
      const { code, codeName, message, extra } = toCommandError(error);
      const small = calculateObjectSize(extra) <= 64 * 1024 ? extra : {};
      outcome.errors.push({ index, code, codeName, errmsg: message.slice(0, 8192), ...small });
      if (body.ordered !== false) break;
    }
    if (operation.due) await operation.pause();
  }
  return outcome;
}

const withErrors = (reply: Reply, { errors }: Outcome): Reply =>
  errors.length > 0 ? { ...reply, writeErrors: errors } : reply;

const idField = new FieldSet(['_id']);

function checkValid(collection: Collection, raw: Raw, body: Doc): void {
  const { validator, options } = collection;
  if (
    !validator ||
    options.validationAction === 'warn' ||
    options.validationLevel === 'off' ||
    body.bypassDocumentValidation === true
  )
    return;
  const doc = decode(raw);
  if (!validator.test(doc)) {
    throw new CommandError(121, 'Document failed validation', {
      errInfo: { failingDocumentId: doc._id, details: { operatorName: Object.keys(options.validator ?? {})[0] ?? '' } },
    });
  }
}

/** A collection comes into being with its first document. */
function collectionFor(engine: Engine, request: Request): Collection {
  return engine.collection(request) ?? engine.database.create(request.db, engine.collectionName(request));
}

function insertRaw(engine: Engine, collection: Collection, given: Raw, body: Doc): void {
  const raw = withIdFirst(given);
  if (raw.length > 16 * 1024 * 1024) encodeStored(decode(raw));
  checkNewId(pick(raw, idField, true)._id);
  checkValid(collection, raw, body);
  engine.database.insert(collection, raw);
  engine.counters.inserted++;
}

export async function insertCommand(engine: Engine, request: Request): Promise<Reply> {
  const docs = batch(request, 'documents');
  const collection = collectionFor(engine, request);
  const outcome = await eachPart(docs, request.body, engine.operation(request.body), (raw) => {
    insertRaw(engine, current(engine, collection), raw, request.body);
    return 1;
  });
  return withErrors({ n: outcome.n }, outcome);
}

/** The collection as it is after a pause: it may have been dropped, or read again after a rollback. */
function current(engine: Engine, collection: Collection): Collection {
  return engine.database.find(collection.db, collection.name) ?? engine.database.create(collection.db, collection.name);
}

// --- update and delete ---------------------------------------------------------------------------

interface Target {
  filter: Filter;
  multi: boolean;
  hint?: unknown;
  sort?: unknown;
}

/**
 * Calls `change` for each row of the target, at once after it was read: other commands run while rows are looked for, so a row
 * is read again right before it is changed, and left alone when it no longer matches. Without `multi` the search begins anew then:
 * of several commands that want the same document each gets another one, or none.
 *
 * With `multi` over an index the row ids are collected first: a change may move a row within the index, and it must not be met
 * twice.
 */
async function changeTargets(
  engine: Engine,
  collection: Collection,
  target: Target,
  operation: Operation,
  change: (row: Row) => void,
): Promise<void> {
  const { database } = engine;
  const test = rawTest(target.filter);
  const latest = ({ rid, raw: found }: Row): Row | undefined => {
    const raw = database.read(collection, rid);
    return raw && (Buffer.compare(raw, found) === 0 || test(raw)) ? { rid, raw } : undefined;
  };
  const query: Query = {
    filter: target.filter,
    sort: parseSort(target.sort),
    skip: 0,
    limit: target.multi ? 0 : 1,
    hint: target.hint,
  };
  const plan = planQuery(database, collection, query);
  if (!target.multi) {
    for (;;) {
      const found = await firstOf(find(database, collection, query, operation, plan));
      if (!found) return;
      const row = latest(found);
      if (row) return change(row);
    }
  }
  const changeLatest = async (found: Row) => {
    const row = latest(found);
    if (row) change(row);
    if (operation.due) await operation.pause();
  };
  if (plan.kind === 'scan') {
    for await (const rows of find(database, collection, query, operation, plan)) {
      for (const row of rows) await changeLatest(row);
    }
    return;
  }
  const rids: number[] = [];
  for await (const rows of matching(database, collection, plan, target.filter, operation)) {
    operation.hold(rows.length * 8, 'an update of many documents');
    for (const { rid } of rows) rids.push(rid);
  }
  for (const rid of rids) {
    const raw = database.read(collection, rid);
    if (raw && test(raw)) change({ rid, raw });
    if (operation.due) await operation.pause();
  }
}

async function firstOf(batches: AsyncGenerator<Row[]>): Promise<Row | undefined> {
  for await (const [row] of batches) if (row) return row;
  return undefined;
}

function updateRow(
  engine: Engine,
  collection: Collection,
  row: Row,
  update: Update,
  body: Doc,
): { changed: boolean; raw: Raw } {
  const before = decode(row.raw);
  const after = update.apply(before, false);
  checkId(before._id, after._id);
  const raw = encodeStored(after);
  if (raw.equals(row.raw)) return { changed: false, raw };
  checkValid(collection, raw, body);
  engine.database.replace(collection, row.rid, row.raw, raw);
  engine.counters.updated++;
  return { changed: true, raw };
}

function upsert(
  engine: Engine,
  collection: Collection,
  filter: Filter,
  update: Update,
  body: Doc,
): { id: unknown; raw: Raw } {
  const seed = upsertSeed(filter);
  const made = update.replacement
    ? update.apply('_id' in seed ? { _id: seed._id } : {}, true)
    : update.apply(seed, true);
  if ('_id' in seed && '_id' in made) checkId(seed._id, made._id);
  const doc = withId('_id' in made || !('_id' in seed) ? made : { _id: seed._id, ...made });
  checkNewId(doc._id);
  const raw = encodeStored(doc);
  checkValid(collection, raw, body);
  engine.database.insert(collection, raw);
  engine.counters.inserted++;
  return { id: doc._id, raw };
}

export async function updateCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  const operation = engine.operation(body);
  const name = engine.collectionName(request);
  let nModified = 0;
  const upserted: Doc[] = [];
  const outcome = await eachPart(batch(request, 'updates'), body, operation, async (rawPart, index) => {
    const part = decode(rawPart);
    refuseCollation(part);
    const filter = compileFilter(optionalDoc(part.q, 'q'), isDoc(body.let) ? body.let : undefined);
    const update = compileUpdate(
      part.u,
      filter,
      part.arrayFilters,
      isDoc(part.c) ? part.c : isDoc(body.let) ? body.let : undefined,
    );
    const multi = part.multi === true;
    if (multi && update.replacement)
      throw new CommandError(9, 'multi update is not supported for replacement-style update');
    let matched = 0;
    const target = { filter, multi, hint: part.hint, sort: part.sort };
    const change = async () => {
      const collection = engine.database.find(request.db, name);
      if (!collection) return false;
      await changeTargets(engine, collection, target, operation, (row) => {
        matched++;
        if (updateRow(engine, collection, row, update, body).changed) nModified++;
      });
      return matched > 0;
    };
    if (part.upsert !== true) {
      await change();
      return matched;
    }
    const made = await changeOrInsert(change, () =>
      upsert(engine, collectionFor(engine, request), filter, update, body),
    );
    if (!made) return matched;
    upserted.push({ index, _id: made.id });
    return 1;
  });
  operation.release();
  return withErrors({ n: outcome.n, nModified, ...(upserted.length > 0 && { upserted }) }, outcome);
}

export async function deleteCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  const operation = engine.operation(body);
  const outcome = await eachPart(batch(request, 'deletes'), body, operation, async (rawPart) => {
    const part = decode(rawPart);
    refuseCollation(part);
    const filter = compileFilter(optionalDoc(part.q, 'q'), isDoc(body.let) ? body.let : undefined);
    const limit = toNumber(part.limit) ?? Number.NaN;
    if (limit !== 0 && limit !== 1)
      throw new CommandError(9, `The limit field in delete objects must be 0 or 1. Got ${String(part.limit)}`);
    const collection = engine.database.find(request.db, engine.collectionName(request));
    let removed = 0;
    if (!collection) return 0;
    await changeTargets(engine, collection, { filter, multi: limit === 0, hint: part.hint }, operation, (row) => {
      engine.database.remove(collection, row.rid, row.raw);
      engine.counters.deleted++;
      removed++;
    });
    return removed;
  });
  operation.release();
  return withErrors({ n: outcome.n }, outcome);
}

export async function findAndModifyCommand(engine: Engine, request: Request): Promise<Reply> {
  const { body } = request;
  refuseCollation(body);
  const operation = engine.operation(body);
  const filter = compileFilter(optionalDoc(body.query, 'query'), isDoc(body.let) ? body.let : undefined);
  const remove = body.remove === true;
  if (remove && (body.update !== undefined || body.upsert === true || body.new === true)) {
    throw new CommandError(9, 'Cannot specify both an update, upsert or new and remove=true');
  }
  if (!remove && body.update === undefined)
    throw new CommandError(9, 'Either an update or remove=true must be specified');
  const update = remove
    ? undefined
    : compileUpdate(body.update, filter, body.arrayFilters, isDoc(body.let) ? body.let : undefined);
  const fields = optionalDoc(body.fields ?? body.projection, 'fields');
  const project = Object.keys(fields).length > 0 ? rawProjection(fields, body.query) : (raw: Raw) => raw;
  const show = (raw: Raw): Doc => decode(project(raw));
  const collection = engine.collection(request);
  let reply: Reply | undefined;
  const change = async () => {
    if (!collection) return false;
    const target = { filter, multi: false, hint: body.hint, sort: body.sort };
    await changeTargets(engine, collection, target, operation, (row) => {
      if (!update) {
        engine.database.remove(collection, row.rid, row.raw);
        engine.counters.deleted++;
        reply = { lastErrorObject: { n: 1 }, value: show(row.raw) };
        return;
      }
      const { raw } = updateRow(engine, collection, row, update, body);
      reply = { lastErrorObject: { n: 1, updatedExisting: true }, value: show(body.new === true ? raw : row.raw) };
    });
    return reply !== undefined;
  };
  if (!update || body.upsert !== true) {
    await change();
    return reply ?? { lastErrorObject: { n: 0, ...(update && { updatedExisting: false }) }, value: null };
  }
  const made = await changeOrInsert(change, () => upsert(engine, collectionFor(engine, request), filter, update, body));
  if (!made) return reply ?? { lastErrorObject: { n: 0, updatedExisting: false }, value: null };
  return {
    lastErrorObject: { n: 1, updatedExisting: false, upserted: made.id },
    value: body.new === true ? show(made.raw) : null,
  };
}

/** An upsert: when another command inserts the same unique key between search and insert, its document is changed instead. */
async function changeOrInsert<T>(change: () => Promise<boolean>, insert: () => T): Promise<T | undefined> {
  if (await change()) return undefined;
  try {
    return insert();
  } catch (error) {
    if (toCommandError(error).code !== 11000 || !(await change())) throw error;
    return undefined;
  }
}

// --- $out and $merge -----------------------------------------------------------------------------

export function createWriter(engine: Engine, operation: Operation): Writer {
  const { database } = engine;
  return {
    async replaceCollection(db, name, source) {
      const temporary = database.create(db, `${unfinishedPrefix}${new ObjectId().toHexString()}`);
      try {
        for await (const docs of source) {
          for (const doc of docs) insertRaw(engine, temporary, encode(doc), {});
          if (operation.due) await operation.pause();
        }
        const old = database.find(db, name);
        for (const { spec } of old?.indexes.values() ?? []) {
          if (spec.name === '_id_' || spec.building) continue;
          const index = database.addIndex(temporary, spec);
          for await (const rows of matching(
            database,
            temporary,
            { kind: 'scan', reverse: false },
            compileFilter({}),
            operation,
          )) {
            for (const { rid, raw } of rows) database.fill(temporary, index, rid, raw);
          }
        }
        if (old) {
          database.setOptions(temporary, old.options);
          database.drop(old);
        }
        database.rename(temporary, db, name);
      } catch (error) {
        const left = database.find(db, temporary.name);
        if (left && left.name !== name) database.drop(left);
        throw error;
      }
    },
    async merge(db, spec, source) {
      const into = isDoc(spec.into) ? spec.into : { db, coll: spec.into };
      const [targetDb, name] = [String(into.db ?? db), String(into.coll)];
      const on = spec.on === undefined ? ['_id'] : [spec.on].flat().map(String);
      const collection = database.find(targetDb, name) ?? database.create(targetDb, name);
      const unique = [...collection.indexes.values()].some(
        ({ unique, spec: index }) => unique && Object.keys(index.key).sort().join() === [...on].sort().join(),
      );
      if (!unique) throw new CommandError(51183, 'Cannot find index to verify that join fields will be unique');
      const whenMatched = spec.whenMatched ?? 'merge';
      const whenNotMatched = spec.whenNotMatched ?? 'insert';
      for await (const docs of source) {
        for (const doc of docs) {
          const filter = compileFilter(Object.fromEntries(on.map((field) => [field, { $eq: doc[field] ?? null }])));
          const query: Query = { filter, sort: [], skip: 0, limit: 1 };
          let hit: Row | undefined;
          for await (const rows of find(database, collection, query, operation, planQuery(database, collection, query)))
            hit = rows[0];
          // Read again: other commands ran since it was found.
          const latest = hit && database.read(collection, hit.rid);
          hit = hit && latest && { rid: hit.rid, raw: latest };
          if (!hit) {
            if (whenNotMatched === 'fail')
              throw new CommandError(13113, '$merge could not find a matching document in the target collection');
            if (whenNotMatched === 'insert') insertRaw(engine, collection, encode(doc), {});
            continue;
          }
          if (whenMatched === 'keepExisting') continue;
          if (whenMatched === 'fail')
            throw new CommandError(11000, '$merge found a matching document in the target collection', {
              keyPattern: { _id: 1 },
              keyValue: { _id: doc._id },
            });
          const { _id: _same, ...rest } = doc;
          const id = decode(hit.raw)._id;
          const update: Update =
            whenMatched === 'merge'
              ? { replacement: false, apply: (before) => ({ ...before, ...rest }) }
              : whenMatched === 'replace'
                ? { replacement: true, apply: () => ({ _id: id, ...rest }) }
                : compileUpdate(whenMatched, filter, undefined, { new: doc });
          updateRow(engine, collection, hit, update, {});
          if (operation.due) await operation.pause();
        }
      }
    },
  };
}
