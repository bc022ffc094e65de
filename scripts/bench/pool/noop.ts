import { defineNode } from '../../../core/node.ts';
import { Type } from '../../../core/schema.ts';

/** Gives back what it gets. */
export default defineNode({
  type: 'bench.noop',
  version: 1,
  lane: 'shared',
  config: Type.Object({}),
  input: Type.Object({ n: Type.Integer() }),
  output: Type.Object({ n: Type.Integer() }),
  run: ({ input }) => input,
});
