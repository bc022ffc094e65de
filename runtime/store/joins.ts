import { calculateObjectSize } from 'bson';
import { type Doc, isDoc, put, toNumber } from './bson.ts';
import { CommandError } from './errors.ts';
import { evaluator } from './expression.ts';
import { encodeKey } from './keys.ts';
import { resolve, splitPath, walk } from './path.ts';
import { type Batches, gather, type PipelineContext, replacePath, type Stage, type Step } from './stages.ts';

/** How a stage runs a pipeline of its own. */
export interface SubPipelines {
  parse(pipeline: unknown): Stage[];
  run(pipeline: unknown, context: PipelineContext): Batches;
  check(stage: Stage, context: PipelineContext): void;
  apply(stages: Stage[], source: Batches, context: PipelineContext): Batches;
}

export const below = (context: PipelineContext, name: string, variables?: Doc): PipelineContext => {
  const { hint: _hint, ...rest } = context;
  return {
    ...rest,
    collection: context.database.find(context.db, name),
    depth: context.depth + 1,
    ...(variables && { variables: { ...context.variables, ...variables } }),
  };
};

export function lookupStage(spec: unknown, context: PipelineContext, pipelines: SubPipelines): Step {
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
  if (Array.isArray(pipeline)) pipelines.parse(pipeline);
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
      ? pipelines.run(stages, { ...inner, collection: undefined })
      : pipelines.run(stages, inner)) {
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
    return replacePath(doc, target, found);
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

export function graphLookupStage(spec: unknown, context: PipelineContext, pipelines: SubPipelines): Step {
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
          for await (const hits of pipelines.run([{ $match: match }], below(context, from))) {
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
        yield [replacePath(doc, splitPath(as), [...seen.values()])];
      }
    }
  };
}

export function facetStage(spec: unknown, context: PipelineContext, pipelines: SubPipelines): Step {
  if (!isDoc(spec) || Object.keys(spec).length === 0)
    throw new CommandError(40169, 'the $facet specification must be a non-empty object');
  const facets = Object.entries(spec).map(([name, pipeline]) => {
    const stages = pipelines.parse(pipeline);
    for (const stage of stages) {
      if (['$facet', '$out', '$merge', '$collStats', '$indexStats', '$geoNear', '$documents'].includes(stage.name))
        throw new CommandError(40600, `${stage.name} is not allowed to be used within a $facet stage`);
      pipelines.check(stage, context);
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
      for await (const batch of pipelines.apply(stages, input, context)) found.push(...batch);
      put(result, name, found);
    }
    yield [result];
  };
}
