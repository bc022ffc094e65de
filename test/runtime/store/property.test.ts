import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Collection, type Document, Double, Long, ObjectId } from 'mongodb';
import { useTarget } from './conformance/target.ts';

/** Random data against a plain model, and queries over indexes against the same without. `KOAGENT_TEST_FULL=1` runs many more. */
const full = process.env.KOAGENT_TEST_FULL === '1';
const numRuns = full ? 1000 : 150;
const target = useTarget();

const small = fc.integer({ min: -2, max: 4 });
const scalar = fc.oneof(
  { weight: 6, arbitrary: small },
  { weight: 1, arbitrary: small.map((n) => new Double(n + 0.5)) },
  { weight: 1, arbitrary: small.map((n) => Long.fromNumber(n)) },
  { weight: 2, arbitrary: fc.constantFrom('', 'a', 'ab', 'abc', 'b', 'é', '中', 'a\u0000b', '😀') },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      null,
      true,
      false,
      new Date(0),
      new Date(5),
      new ObjectId('000000000000000000000001'),
      Number.NaN,
    ),
  },
);
const value = fc.oneof(
  { weight: 5, arbitrary: scalar },
  { weight: 3, arbitrary: fc.array(small, { minLength: 1, maxLength: 3 }) },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 3 }) },
);
const pair = fc.record({ x: fc.oneof(small, scalar), y: fc.oneof(small, scalar) }, { requiredKeys: [] });
const nested = fc.oneof(
  { weight: 3, arbitrary: value },
  { weight: 2, arbitrary: pair },
  { weight: 4, arbitrary: fc.array(pair, { maxLength: 3 }) },
);
// Documents with two arrays cannot be in some compound indexes; often only one field may be one.
const document = fc.oneof(
  fc.record({ a: fc.oneof(value, nested), b: scalar, c: scalar }, { requiredKeys: ['a'] }),
  fc.record({ a: scalar, b: value, c: scalar }, { requiredKeys: [] }),
  fc.record({ a: nested, b: value, c: value }, { requiredKeys: [] }),
);
// Most of it is about a few paths, so that indexes, queries and arrays meet often.
const path = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'a.x', 'a.y') },
  { weight: 1, arbitrary: fc.constantFrom('c', 'b.x', 'b.0', 'a.0.x') },
);

const range = fc.oneof(
  fc.record({ $gt: small }),
  fc.record({ $lte: small }),
  fc.tuple(small, small).map(([low, high]) => ({ $gt: Math.min(low, high) - 1, $lt: Math.max(low, high) + 1 })),
  fc.tuple(small, small).map(([low, high]) => ({ $gte: Math.min(low, high), $lte: Math.max(low, high) })),
);
const other: fc.Arbitrary<unknown> = fc.oneof(
  scalar,
  fc.record({ $gt: scalar }),
  fc.record({ $gte: scalar }),
  fc.record({ $lt: scalar }),
  fc.record({ $lte: scalar }),
  fc.record({ $gt: small, $lt: small }),
  fc.record({ $gte: small, $lte: small }),
  fc.record({ $in: fc.array(scalar, { maxLength: 4 }) }),
  fc.record({ $nin: fc.array(scalar, { maxLength: 2 }) }),
  fc.record({ $ne: scalar }),
  fc.record({ $exists: fc.boolean() }),
  fc.record({ $eq: fc.array(scalar, { maxLength: 2 }) }),
  fc.record({ $size: fc.integer({ min: 0, max: 2 }) }),
  fc.record({ $elemMatch: fc.record({ $gt: small, $lt: small }) }),
  fc.record({ $elemMatch: fc.record({ x: scalar, y: scalar }, { requiredKeys: [] }) }),
  fc.record({ $all: fc.array(scalar, { minLength: 1, maxLength: 2 }) }),
  fc.record({ $not: fc.record({ $gt: small }) }),
  fc.constantFrom(/^a/, /b/, /^ab/i),
  fc.record({ $type: fc.constantFrom('int', 'double', 'string', 'array', 'number') }),
);
const condition: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: small },
  { weight: 4, arbitrary: range },
  { weight: 4, arbitrary: other },
);
const leafFilter = fc.tuple(path, condition).map(([key, test]) => ({ [key]: test }));
const filter: fc.Arbitrary<Document> = fc.oneof(
  { weight: 1, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.tuple(small, small).map(([x, y]) => ({ 'a.x': x, 'a.y': y })) },
  { weight: 1, arbitrary: path.map((key) => ({ [key]: null })) },
  { weight: 4, arbitrary: leafFilter },
  { weight: 4, arbitrary: fc.array(leafFilter, { minLength: 2, maxLength: 3 }).map((parts) => ({ $and: parts })) },
  { weight: 2, arbitrary: fc.array(leafFilter, { minLength: 1, maxLength: 3 }).map((parts) => ({ $or: parts })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(leafFilter, fc.array(leafFilter, { minLength: 1, maxLength: 2 }))
      .map(([one, parts]) => ({ $and: [one, { $or: parts }] })),
  },
  { weight: 1, arbitrary: fc.array(leafFilter, { minLength: 1, maxLength: 2 }).map((parts) => ({ $nor: parts })) },
);
const direction = fc.constantFrom<1 | -1>(1, -1);
const sort = fc.uniqueArray(fc.tuple(fc.constantFrom('a', 'a', 'b', 'c', 'a.x'), direction), {
  maxLength: 2,
  selector: ([key]) => key,
});
type Key = [string, 1 | -1][];
const anyKey: fc.Arbitrary<Key> = fc.uniqueArray(
  fc.tuple(fc.constantFrom('a', 'b', 'c', 'a.x', 'a.y', '_id'), direction),
  { minLength: 1, maxLength: 3, selector: ([key]) => key },
);
// Those that tempt a planner: an order by an array, two fields below one array, a field that may be missing.
const temptingKey = fc.constantFrom<Key>(
  [
    ['a', 1],
    ['_id', 1],
  ],
  [
    ['a', -1],
    ['_id', 1],
  ],
  [
    ['a.x', 1],
    ['a.y', 1],
  ],
  [['a', 1]],
  [
    ['b', 1],
    ['_id', 1],
  ],
);
const index = fc.record({
  key: fc.oneof(anyKey, temptingKey),
  option: fc.constantFrom<Document>(
    {},
    {},
    {},
    { sparse: true },
    { partialFilterExpression: { a: { $gt: 0 } } },
    { partialFilterExpression: { b: { $exists: true } } },
  ),
});

async function addIndex(
  c: Collection<Document>,
  { key, option }: { key: [string, 1 | -1][]; option: Document },
): Promise<void> {
  // Two arrays in one compound index are refused, as by MongoDB; the property goes on without that index.
  await c.createIndex(new Map(key), option).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && (error.code === 171 || error.code === 85 || error.code === 86)))
      throw error;
  });
}

test('queries: with any indexes the result is the same, in the same order, as without', {
  timeout: 300_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(document, { minLength: 5, maxLength: 25, size: 'max' }),
      fc.array(index, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(filter, sort, fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 3 })), {
        minLength: 8,
        maxLength: 12,
      }),
      async (docs, indexes, queries) => {
        const plain = target.collection();
        const fast = target.collection();
        const numbered = docs.map((doc, i) => ({ _id: i as never, ...doc }));
        if (numbered.length > 0) {
          await plain.insertMany(numbered);
          await fast.insertMany(numbered.slice(0, 10));
        }
        for (const spec of indexes) await addIndex(fast, spec);
        // Half of the documents come after the indexes; some of them may clash with a compound index of two arrays.
        const rest = numbered.slice(10);
        for (const doc of rest) {
          await fast.insertOne(doc).catch(async (error: unknown) => {
            if (!(error instanceof Error && 'code' in error && error.code === 171)) throw error;
            await plain.deleteOne({ _id: doc._id });
          });
        }
        for (const [query, order, limit, skip] of queries) {
          const total: [string, 1 | -1][] = [...order, ['_id', 1]];
          const ask = (c: Collection<Document>) => c.find(query).sort(new Map(total)).skip(skip).limit(limit).toArray();
          assert.deepEqual(await ask(fast), await ask(plain), JSON.stringify(query));
          assert.equal(await fast.countDocuments(query), await plain.countDocuments(query));
        }
        await plain.drop();
        await fast.drop();
      },
    ),
    { numRuns },
  );
});

// --- a plain model ---------------------------------------------------------------------------------

interface Plain {
  _id: number;
  n?: number | null;
  s?: string;
  tags?: number[];
}
type Test = {
  field: 'n' | 'tags' | '_id';
  operator: '$eq' | '$gt' | '$lte' | '$in' | '$ne';
  operand: number | number[];
};

function matches(doc: Plain, { field, operator, operand }: Test): boolean {
  const found = doc[field];
  const values = Array.isArray(found) ? found : typeof found === 'number' ? [found] : [];
  const list = Array.isArray(operand) ? operand : [operand];
  const [one = 0] = list;
  if (operator === '$gt') return values.some((item) => item > one);
  if (operator === '$lte') return values.some((item) => item <= one);
  const equal = values.some((item) => list.includes(item));
  return operator === '$ne' ? !equal : equal;
}

const modelTest: fc.Arbitrary<Test> = fc.oneof(
  fc.record({
    field: fc.constantFrom('n' as const, 'tags' as const, '_id' as const),
    operator: fc.constantFrom('$eq' as const, '$gt' as const, '$lte' as const, '$ne' as const),
    operand: small,
  }),
  fc.record({
    field: fc.constantFrom('n' as const, 'tags' as const, '_id' as const),
    operator: fc.constant('$in' as const),
    operand: fc.array(small, { maxLength: 3 }),
  }),
);
const toFilter = ({ field, operator, operand }: Test): Document => ({ [field]: { [operator]: operand } });

type Step =
  | { do: 'insert'; id: number; n?: number | null; s?: string; tags?: number[] }
  | { do: 'inc' | 'push' | 'unset' | 'pull'; test: Test; by: number; many: boolean }
  | { do: 'remove'; test: Test; many: boolean }
  | { do: 'index'; field: 'n' | 's' | 'tags'; unique: boolean; drop: boolean }
  | { do: 'replace'; id: number; n: number; upsert: boolean };

const id = fc.integer({ min: 0, max: 15 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record(
      {
        do: fc.constant('insert' as const),
        id,
        n: fc.option(small),
        s: fc.constantFrom('x', 'y', 'z'),
        tags: fc.array(small, { maxLength: 3 }),
      },
      { requiredKeys: ['do', 'id'] },
    ),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('inc' as const, 'push' as const, 'unset' as const, 'pull' as const),
      test: modelTest,
      by: small,
      many: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), test: modelTest, many: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('index' as const),
      field: fc.constantFrom('n' as const, 's' as const, 'tags' as const),
      unique: fc.boolean(),
      drop: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('replace' as const), id, n: small, upsert: fc.boolean() }) },
);

class Model {
  docs: Plain[] = [];
  indexes = new Map<string, boolean>();

  /** The keys a document has in an index: every tag, null when there is none. */
  #keys(doc: Plain, field: string): unknown[] {
    const found = doc[field as 'n' | 's' | 'tags'];
    if (Array.isArray(found)) return found.length === 0 ? ['empty'] : found;
    return [found ?? null];
  }

  clashes(doc: Plain): boolean {
    for (const [field, unique] of this.indexes) {
      if (!unique) continue;
      const mine = this.#keys(doc, field);
      if (
        this.docs.some((other) => other._id !== doc._id && this.#keys(other, field).some((key) => mine.includes(key)))
      )
        return true;
    }
    return false;
  }

  /** Changes the first or all matching documents; stops at a clash and reports it. */
  change(test: Test, many: boolean, alter: (doc: Plain) => Plain): boolean {
    for (const doc of this.docs.filter((item) => matches(item, test)).slice(0, many ? undefined : 1)) {
      const next = alter(doc);
      if (this.clashes(next)) return false;
      this.docs[this.docs.indexOf(doc)] = next;
    }
    return true;
  }
}

const code = (error: unknown): number => {
  if (error instanceof Error && 'code' in error && typeof error.code === 'number') return error.code;
  throw error;
};

async function play(c: Collection<Document>, model: Model, action: Step): Promise<void> {
  const clash = async (work: Promise<unknown>): Promise<boolean> =>
    work.then(
      () => false,
      (error: unknown) => {
        assert.equal(code(error), 11000);
        return true;
      },
    );
  switch (action.do) {
    case 'insert': {
      const { do: _do, id: _id, ...rest } = action;
      const doc: Plain = { _id, ...rest };
      const refused = await clash(c.insertOne({ ...doc } as never));
      assert.equal(refused, model.docs.some((other) => other._id === _id) || model.clashes(doc));
      if (!refused) model.docs.push(doc);
      return;
    }
    case 'replace': {
      const there = model.docs.findIndex((doc) => doc._id === action.id);
      const doc: Plain = { _id: action.id, n: action.n };
      const refused = await clash(
        c.replaceOne({ _id: action.id as never }, { n: action.n }, { upsert: action.upsert }),
      );
      const acts = there >= 0 || action.upsert;
      assert.equal(refused, acts && model.clashes(doc));
      if (refused || !acts) return;
      if (there >= 0) model.docs[there] = doc;
      else model.docs.push(doc);
      return;
    }
    case 'remove': {
      const query = toFilter(action.test);
      if (action.many) await c.deleteMany(query);
      else await c.deleteOne(query, { hint: { $natural: 1 } as never });
      const gone = model.docs.filter((doc) => matches(doc, action.test)).slice(0, action.many ? undefined : 1);
      model.docs = model.docs.filter((doc) => !gone.includes(doc));
      return;
    }
    case 'index': {
      const name = `${action.field}_1`;
      if (action.drop) {
        if (model.indexes.delete(action.field)) await c.dropIndex(name);
        return;
      }
      if (model.indexes.has(action.field)) return;
      model.indexes.set(action.field, action.unique);
      const possible = !model.docs.some((doc) => model.clashes(doc));
      const refused = await clash(c.createIndex({ [action.field]: 1 }, { unique: action.unique }));
      assert.equal(refused, !possible);
      if (refused) model.indexes.delete(action.field);
      return;
    }
    default: {
      const { test: query, by, many } = action;
      const alter = (doc: Plain): Plain => {
        if (action.do === 'inc') return typeof doc.n === 'number' ? { ...doc, n: doc.n + by } : { ...doc, n: by };
        if (action.do === 'push') return { ...doc, tags: [...(doc.tags ?? []), by] };
        if (action.do === 'pull') return doc.tags ? { ...doc, tags: doc.tags.filter((tag) => tag !== by) } : doc;
        const { s: _s, ...rest } = doc;
        return rest;
      };
      // $inc of null is an error in MongoDB; the model sets such fields instead.
      const change: Document =
        action.do === 'inc'
          ? [{ $set: { n: { $cond: [{ $isNumber: '$n' }, { $add: ['$n', by] }, by] } } }]
          : action.do === 'push'
            ? { $push: { tags: by } }
            : action.do === 'pull'
              ? { $pull: { tags: by } }
              : { $unset: { s: 1 } };
      const options = { hint: { $natural: 1 } as never };
      const refused = await clash(
        many ? c.updateMany(toFilter(query), change, options) : c.updateOne(toFilter(query), change, options),
      );
      assert.equal(refused, !model.change(query, many, alter));
    }
  }
}

test('commands: random sequences of writes and index changes leave what a plain model has', {
  timeout: 300_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
      fc.array(modelTest, { minLength: 3, maxLength: 3 }),
      async (steps, tests) => {
        const c = target.collection();
        const model = new Model();
        await c.createIndex({ _id: 1 });
        for (const action of steps) await play(c, model, action);
        const sorted = [...model.docs].sort((a, b) => a._id - b._id);
        assert.deepEqual(await c.find().sort({ _id: 1 }).toArray(), sorted);
        assert.equal(await c.estimatedDocumentCount(), sorted.length);
        for (const query of tests) {
          const expected = sorted.filter((doc) => matches(doc, query));
          assert.deepEqual(await c.find(toFilter(query)).sort({ _id: 1 }).toArray(), expected);
          assert.equal(await c.countDocuments(toFilter(query)), expected.length);
        }
        const report = await target.db.command({ validate: c.collectionName });
        assert.equal(report.valid, true, JSON.stringify(report.errors));
        await c.drop();
      },
    ),
    { numRuns },
  );
});
