import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { textOf } from '../text.ts';
import { availableTo, filePath, pathOf, TEXT_BYTES, type ToolParts } from './parts.ts';

const MAX_CHARACTERS = 60_000;

export const readFileTool = (parts: ToolParts) =>
  defineTool({
    name: 'read_file',
    category: 'read_focus',
    description:
      'Reads a text file of any encoding, whole or from one line to another (counted from 1, both included). ' +
      `At most ${MAX_CHARACTERS} characters are returned; read the rest by lines.`,
    parameters: Type.Object({
      path: pathOf('Path of the file'),
      start_line: Type.Optional(Type.Integer({ minimum: 1 })),
      end_line: Type.Optional(Type.Integer({ minimum: 1 })),
    }),
    effect: 'reads',
    available: availableTo(parts.everyone),
    async call({ arguments: { path, start_line = 1, end_line }, principal }) {
      const names = filePath(path);
      const { text, encoding } = textOf(await parts.files.read(principal, path, TEXT_BYTES), path);
      const lines = text.split(/\r?\n/);
      // The sign at the end of the last line begins no other.
      if (lines.at(-1) === '') lines.pop();
      const wanted = lines.slice(start_line - 1, end_line ?? lines.length).join('\n');
      const content = wanted.slice(0, MAX_CHARACTERS).toWellFormed();
      const shown = content === '' ? 0 : content.split('\n').length;
      return {
        path: names.join('/'),
        encoding,
        total_lines: lines.length,
        start_line,
        end_line: start_line + shown - 1,
        content,
        ...(wanted.length > MAX_CHARACTERS && { truncated: true }),
      };
    },
  });
