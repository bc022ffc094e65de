import { defineNode } from '../../../core/node.ts';
import { Type } from '../../../core/schema.ts';
import { parseTransform, pathText, transform } from '../../../runtime/graph/index.ts';
import type { LargeTransformInput } from './parts/large-transform.ts';

/** A `transform` of data that is too big for the main thread; made with `toLargeTransform`. */
export default defineNode({
  type: 'transform.large',
  version: 1,
  lane: 'shared',
  timeoutMs: 120_000,
  label: { zh: '转换（大数据）', en: 'Transform (large data)' },
  summary: { zh: '由引擎自动使用', en: 'Used by the engine by itself' },
  config: Type.Object({ data: Type.Record(Type.String(), Type.Unknown()) }),
  literal: ['data'],
  input: Type.Unsafe<LargeTransformInput>({ type: 'object' }),
  output: Type.Object({ value: Type.Unknown(), unresolved: Type.Array(Type.String()) }),

  run({ config: { data }, input: { input, predecessors, found } }) {
    const known = new Map(found);
    return transform(parseTransform(data), {
      input,
      predecessors,
      scope: { lookup: (path) => known.get(pathText(path)) },
    });
  },
});
