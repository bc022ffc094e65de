import { defineNode } from '../../../core/node.ts';
import { oneOf, Type } from '../../../core/schema.ts';
import { blocksFromData } from '../material/blocks.ts';
import { factsFromData } from '../material/facts.ts';
import type { Block } from '../render/document.ts';
import { withoutMarks } from '../render/text.ts';
import { cutText, MAX_TEXT, materialText } from '../writing/material-text.ts';

/** Reads the free data of one package once: the blocks that the report prints, and the text that chapters are written from. */
export default defineNode({
  type: 'report.material',
  version: 1,
  lane: 'shared',
  // A restart of the server counts as well as a crash of the thread; only a task that never gets through may fail the run.
  retries: 20,
  config: Type.Object({}),
  input: Type.Object({
    ref: Type.String(),
    language: oneOf(['zh', 'en']),
    autoData: Type.Record(Type.String(), Type.Unknown()),
    manualData: Type.String(),
    /** Part of the limits of a report that this package may use. */
    share: Type.Number({ minimum: 0, maximum: 1 }),
  }),
  output: Type.Object({
    blocks: Type.Array(Type.Unsafe<Block>({ type: 'object' })),
    text: Type.String(),
    manual: Type.String(),
  }),

  run({ input: { ref, language, autoData, manualData, share } }) {
    const blocks = blocksFromData(autoData, { ref, language, share });
    const text = materialText(blocks, factsFromData(autoData, { language }), language);
    return {
      blocks,
      text: cutText(text, MAX_TEXT, language),
      manual: withoutMarks(cutText(manualData, MAX_TEXT, language)),
    };
  },
});
