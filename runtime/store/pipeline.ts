import { calculateObjectSize } from 'bson';
import { Aggregator } from 'mingo/aggregator';
import {
  copyOf,
  type Doc,
  decode,
  encode,
  FieldSet,
  get,
  isDoc,
  pick,
  promote,
  put,
  type Raw,
  toNumber,
} from './bson.ts';
import type { Collection, Database } from './database.ts';
import { CommandError } from './errors.ts';
import { evaluator, mingoContext, refuseScripts } from './expression.ts';
import { compileGroup } from './group.ts';
import { encodeKey } from './keys.ts';
import { compileFilter } from './match.ts';
import type { Operation } from './operation.ts';
import { resolve, splitPath, walk } from './path.ts';
import { parseSort } from './planner.ts';
import { find, planQuery, type Query } from './query.ts';
import { Sorter, sortKeyer } from './sorter.ts';
import { compileProjection, singleStage, type Transform } from './transform.ts';

export type Batches = AsyncGenerator<Doc[]>;

/** Where `$out` and `$merge` write. */
export interface Writer {
  replaceCollection(db: string, name: string, source: AsyncIterable<Doc[]>): Promise<void>;
  merge(db: string, spec: Doc, source: AsyncIterable<Doc[]>): Promise<void>;
}

export interface PipelineContext {
  database: Database;
  db: string;
  collection: Collection | undefined;
  operation: Operation;
  writer: Writer;
  variables?: Doc;
  hint?: unknown;
  depth: number;
}

interface Stage {
  name: string;
  spec: unknown;
}

/** @throws {CommandError} 40323 for a stage that is not one document with one field */
export function parsePipeline(pipeline: unknown): Stage[] {
  if (!Array.isArray(pipeline)) throw new CommandError(14, 'A pipeline must be an array of objects');
  if (pipeline.length > 1000) throw new CommandError(7749501, 'Pipeline length must be no longer than 1000 stages.');
  refuseScripts(pipeline);
  return pipeline.map((stage) => {
    const names = isDoc(stage) ? Object.keys(stage) : [];
    const [name] = names;
    if (!isDoc(stage) || name === undefined || names.length !== 1) {
      throw new CommandError(40323, 'A pipeline stage specification object must contain exactly one field.');
    }
    return { name, spec: stage[name] };
  });
}

export interface Prefix {
  query: Query;
  rest: Stage[];
}

/** The stages at the front that indexes can answer: `$match`, `$sort`, `$skip`, `$limit`. */
export function splitPrefix(stages: Stage[], context: Pick<PipelineContext, 'variables' | 'hint'>): Prefix {
  const filters: unknown[] = [];
  let at = 0;
  while (stages[at]?.name === '$match') filters.push(stages[at++]?.spec);
  let sort: Query['sort'] = [];
  if (stages[at]?.name === '$sort') {
    sort = parseSort(stages[at++]?.spec);
    while (stages[at]?.name === '$match') filters.push(stages[at++]?.spec);
  }
  let skip = 0;
  let limit = 0;
  if (stages[at]?.name === '$skip') skip = count(stages[at++]?.spec, '$skip', 0);
  if (stages[at]?.name === '$limit') limit = count(stages[at++]?.spec, '$limit', 1);
  for (const filter of filters)
    if (!isDoc(filter)) throw new CommandError(15959, 'the match filter must be an expression in an object');
  const filter = compileFilter(
    filters.length === 1 ? filters[0] : filters.length === 0 ? {} : { $and: filters },
    context.variables,
  );
  return { query: { filter, sort, skip, limit, hint: context.hint }, rest: stages.slice(at) };
}

function count(value: unknown, stage: string, least: number): number {
  const number = toNumber(value);
  if (number === undefined || !Number.isInteger(number) || number < least) {
    throw new CommandError(
      stage === '$limit' ? 15958 : 15956,
      `invalid argument to ${stage} stage: Expected a ${least === 1 ? 'positive' : 'non-negative'} number`,
    );
  }
  return number;
}

/** Runs a pipeline; without stages behind the indexed prefix the stored bytes come as they are. */
export async function* runPipeline(pipeline: unknown, context: PipelineContext): AsyncGenerator<Raw[]> {
  const stages = parsePipeline(pipeline);
  const { query, rest } = splitPrefix(stages, context);
  if (rest.length === 0 && context.collection) {
    for await (const rows of find(context.database, context.collection, query, context.operation))
      yield rows.map(({ raw }) => raw);
    return;
  }
  for await (const docs of fromPrefix(query, rest, context)) yield docs.map(encode);
}

/** The documents of a pipeline, decoded in their exact types. */
export function runStages(pipeline: unknown, context: PipelineContext): Batches {
  const { query, rest } = splitPrefix(parsePipeline(pipeline), context);
  return fromPrefix(query, rest, context);
}

function fromPrefix(query: Query, rest: Stage[], context: PipelineContext): Batches {
  if (context.depth > 20) throw new CommandError(2, 'Sub-pipelines are nested too deeply');
  const [first] = rest;
  const demand = context.operation.wanted;
  // Only when every document leads to one result is the client's demand the demand on the source.
  const direct = rest.every(({ name }) => singleNames.has(name));
  if (!direct) context.operation.wanted = Number.POSITIVE_INFINITY;
  if (
    first?.name === '$count' &&
    query.skip === 0 &&
    query.limit === 0 &&
    query.filter.matchesAll &&
    context.collection
  ) {
    const total = context.database.count(context.collection);
    return applyStages(rest.slice(1), single(total === 0 ? [] : [{ [countName(first.spec)]: total }]), context);
  }
  const special = first && sourceStage(first, query, context);
  if (special) return applyStages(rest.slice(1), special, context);
  const { collection } = context;
  if (!collection) return applyStages(rest, single([]), context);
  const needed = neededPaths(first, context);
  const fields = needed && new FieldSet(needed);
  const source = async function* (): Batches {
    const plan = planQuery(context.database, collection, query);
    for await (const rows of find(context.database, collection, query, context.operation, plan)) {
      yield rows.map(({ raw }) => (fields ? pick(raw, fields, true) : decode(raw)));
    }
    context.operation.wanted = demand;
  };
  return applyStages(rest, source(), context);
}

const singleNames = new Set(['$project', '$addFields', '$set', '$unset', '$replaceRoot', '$replaceWith', '$lookup']);

/** What the stage behind the prefix reads, when it does not hand on whole documents. */
function neededPaths(stage: Stage | undefined, context: PipelineContext): Set<string> | undefined {
  if (stage?.name === '$group') return compileGroup(stage.spec, context.operation, context.variables).paths;
  if (stage?.name === '$count') return new Set(['_id']);
  if (stage?.name === '$project' && isDoc(stage.spec)) return compileProjection(stage.spec).paths;
  return undefined;
}

async function* single(docs: Doc[]): Batches {
  if (docs.length > 0) yield docs;
}

/** Stages that make documents instead of reading the collection. */
function sourceStage(stage: Stage, query: Query, context: PipelineContext): Batches | undefined {
  const { name, spec } = stage;
  if (name === '$documents') {
    const docs = evaluator(spec, context.variables)({});
    if (!Array.isArray(docs) || !docs.every(isDoc))
      throw new CommandError(5858203, '$documents needs an array of documents');
    return single(docs);
  }
  const { collection, database } = context;
  if (name === '$indexStats') {
    return single(
      [...(collection?.indexes.values() ?? [])].map(({ spec: index }) => ({
        name: index.name,
        key: index.key,
        spec: index,
        host: 'embedded',
      })),
    );
  }
  if (name === '$collStats') {
    if (!collection) throw new CommandError(26, 'Collection does not exist');
    const total = database.count(collection);
    return single([
      {
        ns: `${collection.db}.${collection.name}`,
        localTime: new Date(),
        count: total,
        storageStats: { count: total, nindexes: collection.indexes.size },
      },
    ]);
  }
  if (name === '$sample' && query.filter.matchesAll && query.limit === 0 && query.skip === 0) return undefined;
  return undefined;
}

function applyStages(stages: Stage[], source: Batches, context: PipelineContext): Batches {
  // All stages are checked before the first document is read.
  const steps = stages.map((stage, i) => {
    if ((stage.name === '$out' || stage.name === '$merge') && i !== stages.length - 1) {
      throw new CommandError(40601, `${stage.name} can only be the final stage in the pipeline`);
    }
    return compileStage(stage, context);
  });
  return steps.reduce((input, step) => step(input), source);
}

type Step = (source: Batches) => Batches;

const each = (transform: Transform, operation: Operation): Step =>
  async function* (source) {
    for await (const docs of source) {
      const result: Doc[] = [];
      for (const doc of docs) {
        result.push(transform(doc));
        if (operation.due) await operation.pause();
      }
      yield result;
    }
  };

const unsupported: Record<string, [number, string]> = {
  $changeStream: [40573, 'The $changeStream stage is only supported on replica sets'],
  $geoNear: [291, '$geoNear is not supported by the embedded store: it has no geospatial indexes'],
  $search: [31082, '$search is not supported by the embedded store'],
  $searchMeta: [31082, '$searchMeta is not supported by the embedded store'],
  $vectorSearch: [31082, '$vectorSearch is not supported by the embedded store'],
  $currentOp: [115, '$currentOp is not supported by the embedded store'],
  $listSessions: [115, '$listSessions is not supported by the embedded store'],
  $documents: [40602, '$documents is only valid as the first stage in a pipeline.'],
  $indexStats: [40602, '$indexStats is only valid as the first stage in a pipeline.'],
  $collStats: [40602, '$collStats is only valid as the first stage in a pipeline.'],
};

/** Stages that mingo carries out on collected documents. */
const collected = new Set(['$bucket', '$bucketAuto', '$setWindowFields', '$densify', '$fill', '$redact']);

function compileStage({ name, spec }: Stage, context: PipelineContext): Step {
  const { operation, variables } = context;
  const transform = singleStage(name, spec, variables);
  if (transform) return each(transform, operation);
  switch (name) {
    case '$match': {
      const filter = compileFilter(spec, variables);
      return async function* (source) {
        for await (const docs of source) {
          const hits = docs.filter((doc) => filter.test(doc));
          if (hits.length > 0) yield hits;
          if (operation.due) await operation.pause();
        }
      };
    }
    case '$sort':
      return sortStage(spec, operation);
    case '$limit':
      return limitStage(count(spec, '$limit', 1));
    case '$skip': {
      const amount = count(spec, '$skip', 0);
      return async function* (source) {
        let left = amount;
        for await (const docs of source) {
          const part = docs.slice(left);
          left -= docs.length - part.length;
          if (part.length > 0) yield part;
        }
      };
    }
    case '$count': {
      const field = countName(spec);
      return async function* (source) {
        let total = 0;
        for await (const docs of source) total += docs.length;
        if (total > 0) yield [{ [field]: total }];
      };
    }
    case '$group':
      return (source) => compileGroup(spec, operation, variables).run(source);
    case '$sortByCount': {
      const grouping = compileGroup({ _id: spec, count: { $sum: 1 } }, operation, variables);
      const sort = sortStage({ count: -1 }, operation);
      return (source) => sort(grouping.run(source));
    }
    case '$unwind':
      return unwindStage(spec);
    case '$sample':
      return sampleStage(isDoc(spec) ? count(spec.size, '$sample', 0) : count(undefined, '$sample', 0), operation);
    case '$lookup':
      return lookupStage(spec, context);
    case '$graphLookup':
      return graphLookupStage(spec, context);
    case '$unionWith': {
      const { coll, pipeline = [] } = isDoc(spec) ? spec : { coll: spec };
      return async function* (source) {
        yield* source;
        yield* runStages(pipeline, below(context, String(coll)));
      };
    }
    case '$facet':
      return facetStage(spec, context);
    case '$out': {
      const target = isDoc(spec) ? spec : { db: context.db, coll: spec };
      return async function* (source) {
        await context.writer.replaceCollection(String(target.db ?? context.db), String(target.coll), source);
        yield* single([]);
      };
    }
    case '$merge': {
      const target = isDoc(spec) ? spec : { into: spec };
      return async function* (source) {
        await context.writer.merge(context.db, target, source);
        yield* single([]);
      };
    }
  }
  if (collected.has(name)) return mingoStage(name, spec, context);
  const known = unsupported[name];
  if (known) throw new CommandError(...known);
  throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`);
}

const countName = (spec: unknown): string => {
  if (typeof spec !== 'string' || spec === '' || spec.startsWith('$') || spec.includes('.'))
    throw new CommandError(40156, 'the count field must be a non-empty string without $ and dots');
  return spec;
};

const below = (context: PipelineContext, name: string, variables?: Doc): PipelineContext => {
  const { hint: _hint, ...rest } = context;
  return {
    ...rest,
    collection: context.database.find(context.db, name),
    depth: context.depth + 1,
    ...(variables && { variables: { ...context.variables, ...variables } }),
  };
};

function sortStage(spec: unknown, operation: Operation): Step {
  const sort = parseSort(spec);
  if (sort.length === 0) throw new CommandError(15976, '$sort stage must have at least one sort key');
  const keyer = sortKeyer(sort);
  return async function* (source) {
    const sorter = new Sorter(operation);
    try {
      for await (const docs of source) {
        for (const doc of docs) sorter.add(keyer.key(doc), encode(doc));
        await sorter.settle();
        if (operation.due) await operation.pause();
      }
      for await (const values of sorter.drain()) {
        yield values.map((value) => decode(value as Uint8Array));
        if (operation.due) await operation.pause();
      }
    } finally {
      sorter.close();
    }
  };
}

function limitStage(limit: number): Step {
  return async function* (source) {
    let left = limit;
    for await (const docs of source) {
      yield docs.slice(0, left);
      left -= docs.length;
      if (left <= 0) return;
    }
  };
}

function unwindStage(spec: unknown): Step {
  const options = isDoc(spec) ? spec : { path: spec };
  const path = options.path;
  if (typeof path !== 'string' || !path.startsWith('$') || path.length < 2)
    throw new CommandError(28818, "path option to $unwind stage should be prefixed with a '$'");
  const parts = splitPath(path.slice(1));
  const indexName = options.includeArrayIndex;
  const preserve = options.preserveNullAndEmptyArrays === true;
  const valueAt = (doc: Doc) =>
    parts.reduce<unknown>((value, part) => (isDoc(value) ? get(value, part) : undefined), doc);
  const replace = (doc: Doc, at: number, value: unknown): Doc => {
    const next = copyOf(doc);
    const part = parts[at] ?? '';
    const inner = get(doc, part);
    const changed = at === parts.length - 1 ? value : replace(isDoc(inner) ? inner : {}, at + 1, value);
    if (changed === undefined) delete next[part];
    else put(next, part, changed);
    return next;
  };
  return async function* (source) {
    for await (const docs of source) {
      let result: Doc[] = [];
      for (const doc of docs) {
        const value = valueAt(doc);
        const items = Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
        const numbered = (next: Doc, index: number | null) =>
          typeof indexName === 'string' ? replacePath(next, splitPath(indexName), index) : next;
        if (items.length === 0 && preserve)
          result.push(numbered(Array.isArray(value) ? replace(doc, 0, undefined) : doc, null));
        for (const [i, item] of items.entries()) {
          result.push(numbered(Array.isArray(value) ? replace(doc, 0, item) : doc, Array.isArray(value) ? i : null));
          if (result.length < 256) continue;
          yield result;
          result = [];
        }
      }
      if (result.length > 0) yield result;
    }
  };
}

function replacePath(doc: Doc, parts: string[], value: unknown): Doc {
  const [part = '', ...rest] = parts;
  const next = copyOf(doc);
  const inner = get(doc, part);
  put(next, part, rest.length === 0 ? value : replacePath(isDoc(inner) ? inner : {}, rest, value));
  return next;
}

function sampleStage(size: number, operation: Operation): Step {
  return async function* (source) {
    const chosen: Doc[] = [];
    let seen = 0;
    for await (const docs of source) {
      for (const doc of docs) {
        seen++;
        const at = chosen.length < size ? chosen.length : Math.floor(Math.random() * seen);
        if (chosen.length < size) operation.hold(calculateObjectSize(doc) * 3, '$sample');
        if (at < size) chosen[at] = doc;
      }
    }
    for (let i = chosen.length - 1; i > 0; i--) {
      const j = Math.floor(Math.random() * (i + 1));
      const [a, b] = [chosen[i], chosen[j]];
      if (a && b) [chosen[i], chosen[j]] = [b, a];
    }
    yield chosen;
  };
}

async function gather(source: Batches, operation: Operation, what: string): Promise<Doc[]> {
  const all: Doc[] = [];
  for await (const docs of source) {
    for (const doc of docs) {
      operation.hold(calculateObjectSize(doc) * 4, what);
      all.push(doc);
    }
    if (operation.due) await operation.pause();
  }
  return all;
}

function mingoStage(name: string, spec: unknown, context: PipelineContext): Step {
  // mingo itself needs functions inside $setWindowFields; those of users were refused by parsePipeline.
  const aggregator = new Aggregator(
    [{ [name]: promote(spec) }] as never,
    { context: mingoContext, scriptEnabled: true, variables: promote(context.variables ?? {}) } as never,
  );
  return async function* (source) {
    const docs = await gather(source, context.operation, name);
    yield aggregator.run(docs.map(promote) as never) as Doc[];
  };
}

function lookupStage(spec: unknown, context: PipelineContext): Step {
  if (!isDoc(spec) || typeof spec.as !== 'string') throw new CommandError(9, "$lookup needs 'from' and 'as'");
  const { from, localField, foreignField, as, let: letSpec, pipeline } = spec;
  if (from !== undefined && typeof from !== 'string') throw new CommandError(9, "$lookup 'from' must be a string");
  if ((localField === undefined) !== (foreignField === undefined))
    throw new CommandError(4, '$lookup requires both or neither of localField and foreignField');
  if (localField === undefined && pipeline === undefined)
    throw new CommandError(9, '$lookup requires a pipeline or localField and foreignField');
  const target = splitPath(as);
  const bindings = isDoc(letSpec)
    ? Object.entries(letSpec).map(([name, value]) => [name, evaluator(value, context.variables)] as const)
    : [];
  const local = typeof localField === 'string' ? splitPath(localField) : undefined;
  if (Array.isArray(pipeline)) parsePipeline(pipeline);
  const join = async (doc: Doc): Promise<Doc> => {
    const variables: Doc = {};
    for (const [name, evaluate] of bindings) put(variables, name, evaluate(doc) ?? null);
    const stages: Doc[] = [];
    if (local && typeof foreignField === 'string') {
      const values: unknown[] = [];
      walk(doc, local, 0, (value) => {
        if (Array.isArray(value)) values.push(...value);
        else values.push(value ?? null);
        return false;
      });
      const unique = [...new Map(values.map((value) => [encodeKey(value).toString('latin1'), value])).values()];
      // A regular expression among the values is a value here, not a pattern.
      stages.push({
        $match: {
          $or: [
            { [foreignField]: { $in: unique.filter((v) => !isPattern(v)) } },
            ...unique.filter(isPattern).map((v) => ({ [foreignField]: { $eq: v } })),
          ],
        },
      });
    }
    if (Array.isArray(pipeline)) stages.push(...(pipeline as Doc[]));
    const found: Doc[] = [];
    const inner = below(context, String(from), variables);
    let bytes = 0;
    for await (const docs of from === undefined
      ? runStages(stages, { ...inner, collection: undefined })
      : runStages(stages, inner)) {
      for (const hit of docs) {
        bytes += calculateObjectSize(hit);
        if (bytes > 64 * 1024 * 1024)
          throw new CommandError(
            4568,
            `Total size of documents in ${from} matching pipeline's $lookup stage exceeds the limit`,
          );
        found.push(hit);
      }
    }
    return setPath(doc, target, found);
  };
  return async function* (source) {
    for await (const docs of source) {
      for (const doc of docs) {
        yield [await join(doc)];
        if (context.operation.due) await context.operation.pause();
      }
    }
  };
}

const isPattern = (value: unknown) =>
  typeof value === 'object' && value !== null && '_bsontype' in value && value._bsontype === 'BSONRegExp';

function setPath(doc: Doc, parts: string[], value: unknown): Doc {
  return replacePath(doc, parts, value);
}

function graphLookupStage(spec: unknown, context: PipelineContext): Step {
  if (
    !isDoc(spec) ||
    typeof spec.from !== 'string' ||
    typeof spec.as !== 'string' ||
    typeof spec.connectFromField !== 'string' ||
    typeof spec.connectToField !== 'string'
  ) {
    throw new CommandError(40105, '$graphLookup requires from, startWith, connectFromField, connectToField and as');
  }
  const { from, as, connectFromField, connectToField, depthField, restrictSearchWithMatch } = spec;
  const start = evaluator(spec.startWith, context.variables);
  const maxDepth = toNumber(spec.maxDepth) ?? Number.POSITIVE_INFINITY;
  const fromParts = splitPath(connectFromField);
  return async function* (source) {
    for await (const docs of source) {
      for (const doc of docs) {
        const seen = new Map<string, Doc>();
        const asked = new Set<string>();
        const first = start(doc);
        let frontier: unknown[] = Array.isArray(first) ? first : [first ?? null];
        for (let depth = 0; frontier.length > 0 && depth <= maxDepth; depth++) {
          const fresh = frontier.filter((value) => {
            const key = encodeKey(value).toString('latin1');
            return !asked.has(key) && asked.add(key);
          });
          if (fresh.length === 0) break;
          const match: Doc = {
            $and: [{ [connectToField]: { $in: fresh } }, isDoc(restrictSearchWithMatch) ? restrictSearchWithMatch : {}],
          };
          frontier = [];
          for await (const hits of runStages([{ $match: match }], below(context, from))) {
            for (const hit of hits) {
              const key = encodeKey(hit._id).toString('latin1');
              if (seen.has(key)) continue;
              context.operation.hold(calculateObjectSize(hit) * 3, '$graphLookup');
              seen.set(key, typeof depthField === 'string' ? replacePath(hit, splitPath(depthField), depth) : hit);
              const next = resolve(hit, fromParts);
              if (Array.isArray(next)) frontier.push(...next);
              else if (next !== undefined && next !== null) frontier.push(next);
            }
          }
        }
        yield [setPath(doc, splitPath(as), [...seen.values()])];
      }
    }
  };
}

function facetStage(spec: unknown, context: PipelineContext): Step {
  if (!isDoc(spec) || Object.keys(spec).length === 0)
    throw new CommandError(40169, 'the $facet specification must be a non-empty object');
  const facets = Object.entries(spec).map(([name, pipeline]) => {
    const stages = parsePipeline(pipeline);
    for (const stage of stages) {
      if (['$facet', '$out', '$merge', '$collStats', '$indexStats', '$geoNear', '$documents'].includes(stage.name))
        throw new CommandError(40600, `${stage.name} is not allowed to be used within a $facet stage`);
      compileStage(stage, context);
    }
    return { name, stages };
  });
  return async function* (source) {
    const docs = await gather(source, context.operation, '$facet');
    const result: Doc = {};
    for (const { name, stages } of facets) {
      const input = (async function* (): Batches {
        for (let at = 0; at < docs.length; at += 256) yield docs.slice(at, at + 256);
      })();
      const found: Doc[] = [];
      for await (const batch of applyStages(stages, input, context)) found.push(...batch);
      put(result, name, found);
    }
    yield [result];
  };
}
