import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mongoose from 'mongoose';
import { decodeJson, encodeJson, encodeUpdate, jsonField, jsonPathsOf, mapJson } from '../../../core/data/json.ts';

const clone = <T>(value: T): T => structuredClone(value);

test('encodeJson: safe values stay the same object', () => {
  const value = { a: 1, list: [{ b: 'x' }, null, true], when: new Date(0) };
  assert.equal(encodeJson(value), value);
});

test('encodeJson: any JSON comes back as it was', () => {
  const hostile = fc.constantFrom(
    '$set',
    'a.b',
    '__proto__',
    'constructor',
    '_bsontype',
    '~json',
    '',
    'toBSON',
    'x\0y',
  );
  const key = fc.oneof(fc.string(), hostile);
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'medium' },
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value')),
      fc
        .array(fc.tuple(key, tie('value')))
        .map(
          (entries) =>
            JSON.parse(
              `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`,
            ) as unknown,
        ),
    ),
  }));
  fc.assert(
    fc.property(value, (input) => {
      const text = JSON.stringify(input);
      assert.equal(JSON.stringify(decodeJson(clone(encodeJson(input)))), text);
      assert.equal(JSON.stringify(input), text, 'the input itself is not changed');
    }),
    { numRuns: 500 },
  );
});

test('encodeJson: only the smallest unsafe object becomes text', () => {
  const when = new Date(0);
  assert.deepEqual(encodeJson({ when, inner: { $x: 1 } }), { when, inner: { '~json': '{"$x":1}' } });
});

test('encodeJson: deep nesting becomes text, too deep is refused', () => {
  let deep: unknown = 1;
  for (let level = 0; level < 200; level += 1) deep = { deep };
  let stored = encodeJson(deep) as Record<string, unknown>;
  let depth = 0;
  while (typeof stored.deep === 'object') {
    stored = stored.deep as Record<string, unknown>;
    depth += 1;
  }
  assert.equal(depth, 60);
  assert.deepEqual(decodeJson(clone(encodeJson(deep))), deep);
  let tooDeep: unknown = 1;
  for (let level = 0; level < 200_000; level += 1) tooDeep = [tooDeep];
  assert.throws(() => encodeJson(tooDeep), { code: 'JSON_TOO_DEEP', kind: 'invalid' });
});

const schema = new mongoose.Schema(
  {
    name: String,
    free: jsonField(),
    list: [mongoose.Schema.Types.Mixed],
    steps: [{ key: String, result: jsonField() }],
    nested: { inner: { value: jsonField() } },
    table: { type: Map, of: mongoose.Schema.Types.Mixed },
  },
  { _id: false },
);

const wired = <T>(value: T | undefined): T => {
  assert.ok(value !== undefined);
  return value;
};

test('jsonPathsOf: finds free-form values in lists, sub-documents, nested objects and maps', () => {
  const paths = wired(jsonPathsOf(schema));
  const bad = { $a: 1 };
  const text = { '~json': '{"$a":1}' };
  const document = {
    name: 'n',
    free: bad,
    list: [1, bad],
    steps: [{ key: 'k', result: bad }],
    nested: { inner: { value: bad } },
    table: { x: bad },
  };
  const encoded = mapJson(paths, document, encodeJson);
  assert.deepEqual(encoded, {
    name: 'n',
    free: text,
    list: [1, text],
    steps: [{ key: 'k', result: text }],
    nested: { inner: { value: text } },
    table: { x: text },
  });
  assert.deepEqual(mapJson(paths, encoded, decodeJson), document);
  assert.equal(jsonPathsOf(new mongoose.Schema({ name: String, at: Date })), undefined);
});

test('encodeUpdate: values of all operators that write are encoded; a path into a free field is refused', () => {
  const paths = wired(jsonPathsOf(schema));
  const bad = { 'a.b': 1 };
  const text = { '~json': '{"a.b":1}' };
  assert.deepEqual(
    encodeUpdate(paths, {
      $set: { free: bad, 'steps.0.result': bad, 'steps.$.result': bad, 'nested.inner': { value: bad }, name: 'x' },
      $setOnInsert: { 'nested.inner.value': bad },
      $push: { list: bad, steps: { $each: [{ key: 'k', result: bad }], $slice: -5 } },
      $inc: { count: 1 },
    }),
    {
      $set: { free: text, 'steps.0.result': text, 'steps.$.result': text, 'nested.inner': { value: text }, name: 'x' },
      $setOnInsert: { 'nested.inner.value': text },
      $push: { list: text, steps: { $each: [{ key: 'k', result: text }], $slice: -5 } },
      $inc: { count: 1 },
    },
  );
  assert.throws(() => encodeUpdate(paths, { $set: { 'free.x': 1 } }), /inside a free-form field/);
});
