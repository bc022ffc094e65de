import { defineNode } from '../../../core/node.ts';
import { Type } from '../../../core/schema.ts';

/** Computes for a while and emits, as a node does that is worth a thread. */
export default defineNode({
  type: 'bench.work',
  version: 1,
  lane: 'shared',
  config: Type.Object({
    ms: Type.Number({ default: 0, description: 'milliseconds of computing' }),
    events: Type.Integer({ default: 0 }),
    bytes: Type.Integer({ default: 0, description: 'bytes of the result' }),
  }),
  input: Type.Object({}),
  output: Type.Object({ bytes: Type.Unsafe<Uint8Array>({}) }),
  run: ({ config: { ms, events, bytes }, emit }) => {
    const end = performance.now() + ms;
    let sum = 0;
    while (performance.now() < end) for (let i = 0; i < 1000; i += 1) sum += Math.sqrt(i);
    for (let n = 0; n < events; n += 1) emit('token', { n, text: 'some text of a token', sum: sum > 0 });
    return { bytes: new Uint8Array(bytes) };
  },
});
