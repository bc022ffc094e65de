import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { EditMismatchError, FileTooBigError, PathNotFoundError } from '../errors.ts';
import { bytesOf, textOf } from '../text.ts';
import { availableTo, changeFile, filePath, pathOf, TEXT_BYTES, type ToolParts } from './parts.ts';

export const editFileTool = (parts: ToolParts) =>
  defineTool({
    name: 'edit_file',
    category: 'file_edit',
    description:
      'Replaces a passage of a text file. old_text must be copied exactly from the file and occur once, unless replace_all is set.',
    parameters: Type.Object({
      path: pathOf('Path of the file'),
      old_text: Type.String({ minLength: 1, maxLength: 200_000, description: 'The passage to replace' }),
      new_text: Type.String({ maxLength: 1_000_000, description: 'What stands there afterwards; may be empty' }),
      replace_all: Type.Optional(Type.Boolean({ description: 'Replace every occurrence' })),
    }),
    effect: 'changes',
    available: availableTo(parts.everyone),
    call: (context) => {
      const { path, old_text, new_text, replace_all = false } = context.arguments;
      const names = filePath(path);
      return changeFile(parts, context, names, (before) => {
        if (before === undefined) throw new PathNotFoundError(path);
        if (before.byteLength > TEXT_BYTES) throw new FileTooBigError(TEXT_BYTES);
        const file = textOf(before, path);
        const { text, count } = replaced(file.text, old_text, new_text, replace_all);
        return {
          content: bytesOf(text, file),
          answer: {
            path: names.join('/'),
            replaced: count,
            ...(file.encoding !== 'utf-8' && { note: `The file was ${file.encoding} and is UTF-8 now` }),
          },
        };
      });
    },
  });

function replaced(text: string, before: string, after: string, all: boolean): { text: string; count: number } {
  // Models write line feeds; a file of Windows has both signs.
  const windows = !text.includes(before) && text.includes('\r\n');
  const toFile = (passage: string) => (windows ? passage.replace(/\r?\n/g, '\r\n') : passage);
  const pieces = text.split(toFile(before));
  const count = pieces.length - 1;
  if (count === 0 || (count > 1 && !all)) throw new EditMismatchError(count);
  return { text: pieces.join(toFile(after)), count };
}
