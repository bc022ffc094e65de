import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { availableTo, movablePath, pathOf, type ToolParts, takeAway } from './parts.ts';

export const deleteFileTool = (parts: ToolParts) =>
  defineTool({
    name: 'delete_file',
    category: 'file_edit',
    description: 'Deletes a file, or a directory with everything in it. This cannot be undone.',
    parameters: Type.Object({ path: pathOf('Path of the file or directory') }),
    effect: 'changes',
    available: availableTo(parts.everyone),
    call: (context) => {
      const names = movablePath(context.arguments.path);
      return takeAway(parts, context, names, { deleted: names.join('/') }, (folder) => folder.remove(names));
    },
  });
