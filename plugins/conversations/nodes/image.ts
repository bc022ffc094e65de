import { GIF } from 'image-size/types/gif';
import { JPG } from 'image-size/types/jpg';
import { PNG } from 'image-size/types/png';
import { WEBP } from 'image-size/types/webp';
import { defineNode } from '../../../core/node.ts';
import { Type } from '../../../core/schema.ts';

/** What models read; the library knows more, and parsers that nobody needs are only a way in. */
const FORMATS = [
  { type: 'image/png', format: PNG },
  { type: 'image/jpeg', format: JPG },
  { type: 'image/gif', format: GIF },
  { type: 'image/webp', format: WEBP },
] as const;

/** Tells pictures from other files by what they hold. `type` is null when it is none. */
export default defineNode({
  type: 'conversations.image',
  version: 1,
  // A file of a stranger may keep the library busy for seconds.
  lane: 'isolated',
  config: Type.Object({}),
  input: Type.Object({ heads: Type.Array(Type.Unsafe<Uint8Array>({}), { description: 'beginnings of the files' }) }),
  output: Type.Object({ types: Type.Array(Type.Union([Type.String(), Type.Null()])) }),

  run: async ({ input }) => ({ types: input.heads.map(typeOf) }),
});

function typeOf(head: Uint8Array): string | null {
  try {
    const found = FORMATS.find(({ format }) => format.validate(head));
    const size = found?.format.calculate(head);
    return found && size && size.width > 0 && size.height > 0 ? found.type : null;
  } catch (error) {
    // Cut off, or only the first bytes are those of a picture.
    if (error instanceof TypeError || error instanceof RangeError) return null;
    throw error;
  }
}
