import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { availableTo, changeFile, filePath, pathOf, type ToolParts } from './parts.ts';

export const writeFileTool = (parts: ToolParts) =>
  defineTool({
    name: 'write_file',
    category: 'file_edit',
    description:
      'Writes a text file (UTF-8), replacing what was there; directories are made as needed. ' +
      'The user sees and downloads only what is in the directory user_upload.',
    parameters: Type.Object({
      path: pathOf('Path of the file'),
      content: Type.String({ maxLength: 1_000_000, description: 'The whole text of the file, or what is appended' }),
      append: Type.Optional(Type.Boolean({ description: 'Add to the end of the file instead of replacing it' })),
    }),
    effect: 'changes',
    available: availableTo(parts.everyone),
    call: (context) => {
      const { path, content, append = false } = context.arguments;
      const names = filePath(path, true);
      return changeFile(parts, context, names, (before) => {
        const added = Buffer.from(content);
        const bytes = append && before ? Buffer.concat([before, added]) : added;
        return {
          content: bytes,
          answer: { path: names.join('/'), size: bytes.byteLength, created: before === undefined },
        };
      });
    },
  });
