import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RunEventInput } from '../../../core/run-kind.ts';
import { IterationWriter } from '../../../plugins/agents/loop/writer.ts';
import { textSoFar } from './loop-harness.ts';

type Said = ['text' | 'thinking', string] | ['tool', string] | ['again'] | ['retry'];

const said: fc.Arbitrary<Said> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom('text' as const, 'thinking' as const), fc.string({ minLength: 1 })),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('tool' as const), fc.uuid()) },
  { weight: 1, arbitrary: fc.constant(['again'] as ['again']) },
  { weight: 1, arbitrary: fc.constant(['retry'] as ['retry']) },
);

/** Carries one iteration out as the run service would: what is emitted, then what is stored with the step. */
function write(iteration: number, all: readonly Said[], slowStore: boolean) {
  const events: RunEventInput[] = [];
  const emit = (type: string, data: Record<string, unknown>) => {
    events.push({ type, data });
    return slowStore ? new Promise<void>(() => undefined) : Promise.resolve();
  };
  const writer = new IterationWriter(emit, iteration);
  let text = '';
  for (const [type, value = ''] of all) {
    const error = { kind: 'unavailable', code: 'X', message: { zh: '', en: '' } };
    const data =
      type === 'tool' ? { id: value, name: 'n' } : type === 'retry' ? { error, attempt: 1 } : { text: value };
    const event = writer.take(type, data);
    if (event) events.push(event);
    if (type === 'text') text += value;
    if (type === 'again') text = '';
  }
  events.push(...writer.end());
  return { events, text };
}

test('whatever comes in whatever order: chunks give the text, each block is closed with what its chunks have', () => {
  fc.assert(
    fc.property(fc.array(fc.array(said, { maxLength: 120 }), { maxLength: 4 }), fc.boolean(), (iterations, slow) => {
      const all: RunEventInput[] = [{ type: 'ai_message_start', data: {} }];
      const texts: string[] = [];
      for (const [at, one] of iterations.entries()) {
        const { events, text } = write(at + 1, one, slow);
        all.push(...events);
        if (text !== '') texts.push(text);
      }
      assert.equal(textSoFar(all), texts.join('\n\n'));
      let open: { kind: string; content: string; from: number } | undefined;
      let index = 0;
      for (const { type, data } of all) {
        if (type === 'text_start' || type === 'thinking_start') {
          assert.equal(open, undefined);
          open = { kind: type.replace('_start', ''), content: '', from: index };
        } else if (type.endsWith('_chunk')) {
          assert.equal(type, `${open?.kind}_chunk`);
          if (open) open.content += data.content;
          if (type === 'text_chunk') {
            assert.ok(data.index === index + 1 || data.index === 1, 'chunks are counted');
            index = Number(data.index);
          }
        } else if (type === 'text_end' || type === 'thinking_end') {
          assert.deepEqual([type, data.full_content], [`${open?.kind}_end`, open?.content]);
          open = undefined;
        }
      }
      assert.equal(open, undefined);
    }),
  );
});
