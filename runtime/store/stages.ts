import { calculateObjectSize } from 'bson';
import { Aggregator } from 'mingo/aggregator';
import { copyOf, type Doc, decode, encode, get, isDoc, promote, put, toNumber } from './bson.ts';
import type { Collection, Database } from './database.ts';
import { CommandError } from './errors.ts';
import { mingoContext } from './expression.ts';
import type { Operation } from './operation.ts';
import { splitPath } from './path.ts';
import { parseSort } from './planner.ts';
import { Sorter, sortKeyer } from './sorter.ts';
import type { Transform } from './transform.ts';

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

export interface Stage {
  name: string;
  spec: unknown;
}

export type Step = (source: Batches) => Batches;

export const each = (transform: Transform, operation: Operation): Step =>
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

export function count(value: unknown, stage: string, least: number): number {
  const number = toNumber(value);
  if (number === undefined || !Number.isInteger(number) || number < least) {
    throw new CommandError(
      stage === '$limit' ? 15958 : 15956,
      `invalid argument to ${stage} stage: Expected a ${least === 1 ? 'positive' : 'non-negative'} number`,
    );
  }
  return number;
}

export const countName = (spec: unknown): string => {
  if (typeof spec !== 'string' || spec === '' || spec.startsWith('$') || spec.includes('.'))
    throw new CommandError(40156, 'the count field must be a non-empty string without $ and dots');
  return spec;
};

export function sortStage(spec: unknown, operation: Operation): Step {
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

export function limitStage(limit: number): Step {
  return async function* (source) {
    let left = limit;
    for await (const docs of source) {
      yield docs.slice(0, left);
      left -= docs.length;
      if (left <= 0) return;
    }
  };
}

export function unwindStage(spec: unknown): Step {
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

export function replacePath(doc: Doc, parts: string[], value: unknown): Doc {
  const [part = '', ...rest] = parts;
  const next = copyOf(doc);
  const inner = get(doc, part);
  put(next, part, rest.length === 0 ? value : replacePath(isDoc(inner) ? inner : {}, rest, value));
  return next;
}

export function sampleStage(size: number, operation: Operation): Step {
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

export async function gather(source: Batches, operation: Operation, what: string): Promise<Doc[]> {
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

export function mingoStage(name: string, spec: unknown, context: PipelineContext): Step {
  // mingo itself needs functions inside $setWindowFields; those of users were refused by parsePipeline.
  const aggregator = new Aggregator(
    [{ [name]: promote(spec) }] as never,
    { context: mingoContext, scriptEnabled: true, variables: promote(context.variables ?? {}) } as never,
  );
  return async function* (source) {
    const docs = await gather(source, context.operation, name);
    try {
      yield aggregator.run(docs.map(promote) as never) as Doc[];
    } catch (error) {
      // mingo checks few of its arguments; what it trips over is wrong in the specification.
      if (error instanceof TypeError)
        throw new CommandError(2, `The specification of ${name} is not valid: ${error.message}`);
      throw error;
    }
  };
}
