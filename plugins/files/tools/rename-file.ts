import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { availableTo, filePath, movablePath, pathOf, type ToolParts, takeAway } from './parts.ts';

export const renameFileTool = (parts: ToolParts) =>
  defineTool({
    name: 'rename_file',
    category: 'file_edit',
    description: 'Renames or moves a file or directory. Nothing may stand at the new path.',
    parameters: Type.Object({ path: pathOf('Path as it is'), new_path: pathOf('Path as it shall be') }),
    effect: 'changes',
    available: availableTo(parts.everyone),
    call: (context) => {
      const from = movablePath(context.arguments.path);
      const to = filePath(context.arguments.new_path, true);
      const answer = { renamed: from.join('/'), path: to.join('/') };
      return takeAway(parts, context, from, answer, (folder) => folder.move(from, to));
    },
  });
