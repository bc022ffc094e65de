import { type Doc, decode, encodeStored, FieldSet, isDoc, pick, type Raw, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { evaluator, refuseScripts } from './expression.ts';
import { compileGroup } from './group.ts';
import { below, facetStage, graphLookupStage, lookupStage, type SubPipelines } from './joins.ts';
import { compileFilter } from './match.ts';
import { parseSort } from './planner.ts';
import { countMatches, find, planQuery, type Query } from './query.ts';
import {
  type Batches,
  count,
  countName,
  each,
  limitStage,
  mingoStage,
  type PipelineContext,
  type Stage,
  type Step,
  sampleStage,
  sortStage,
  unwindStage,
} from './stages.ts';
import { compileProjection, singleStage } from './transform.ts';

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

/** Runs a pipeline; without stages behind the indexed prefix the stored bytes come as they are. */
export async function* runPipeline(pipeline: unknown, context: PipelineContext): AsyncGenerator<Raw[]> {
  const stages = parsePipeline(pipeline);
  const { query, rest } = splitPrefix(stages, context);
  if (rest.length === 0 && context.collection) {
    for await (const rows of find(context.database, context.collection, query, context.operation))
      yield rows.map(({ raw }) => raw);
    return;
  }
  for await (const docs of fromPrefix(query, rest, context)) yield docs.map(encodeStored);
}

/** The documents of a pipeline, decoded in their exact types. */
export function runStages(pipeline: unknown, context: PipelineContext): Batches {
  const { query, rest } = splitPrefix(parsePipeline(pipeline), context);
  return fromPrefix(query, rest, context);
}

function fromPrefix(query: Query, rest: Stage[], context: PipelineContext): Batches {
  if (context.depth > 20) throw new CommandError(2, 'Sub-pipelines are nested too deeply');
  const [first] = rest;
  const { collection } = context;
  const demand = context.operation.wanted;
  // Only when every document leads to one result is the client's demand the demand on the source.
  const direct = rest.every(({ name }) => singleNames.has(name));
  if (!direct) context.operation.wanted = Number.POSITIVE_INFINITY;
  const counted = collection && query.skip === 0 && query.limit === 0 ? countOnly(first) : undefined;
  if (counted && collection) {
    const source = async function* (): Batches {
      const total = await countMatches(context.database, collection, { ...query, sort: [] }, context.operation);
      if (total > 0) yield [counted(total)];
    };
    return applyStages(rest.slice(1), source(), context);
  }
  const special = first && sourceStage(first, query, context);
  if (special) return applyStages(rest.slice(1), special, context);
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

/** `$count`, and the `$group` that drivers send for `countDocuments`: only the number of documents matters. */
function countOnly(stage: Stage | undefined): ((total: number) => Doc) | undefined {
  if (stage?.name === '$count') {
    const name = countName(stage.spec);
    return (total) => ({ [name]: total });
  }
  const spec = stage?.name === '$group' && isDoc(stage.spec) ? stage.spec : undefined;
  const [[name, sum] = ['', undefined], ...others] = Object.entries(spec ?? {}).filter(([key]) => key !== '_id');
  const id = spec?._id;
  const one = isDoc(sum) && Object.keys(sum).length === 1 ? toNumber(sum.$sum) : undefined;
  if (one !== 1 || others.length > 0 || !(id === null || toNumber(id) !== undefined)) return undefined;
  return (total) => ({ _id: id, [name]: total });
}

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
      return lookupStage(spec, context, subPipelines);
    case '$graphLookup':
      return graphLookupStage(spec, context, subPipelines);
    case '$unionWith': {
      const { coll, pipeline = [] } = isDoc(spec) ? spec : { coll: spec };
      return async function* (source) {
        yield* source;
        yield* runStages(pipeline, below(context, String(coll)));
      };
    }
    case '$facet':
      return facetStage(spec, context, subPipelines);
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

const subPipelines: SubPipelines = {
  parse: parsePipeline,
  run: runStages,
  check: (stage, context) => void compileStage(stage, context),
  apply: applyStages,
};
