import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { pathParts } from '../names.ts';
import { walk } from '../walk.ts';
import { availableTo, type ToolParts } from './parts.ts';

const MAX_ITEMS = 500;

export const listFilesTool = (parts: ToolParts) =>
  defineTool({
    name: 'list_files',
    category: 'read_focus',
    description:
      'Lists files and directories. Files that the user uploaded are in the directory user_upload. ' +
      `At most ${MAX_ITEMS} entries are listed.`,
    parameters: Type.Object({
      path: Type.Optional(
        Type.String({
          maxLength: 1024,
          description: 'Directory, relative to the project directory; default: that one',
        }),
      ),
      recursive: Type.Optional(Type.Boolean({ description: 'Also what is in directories below' })),
    }),
    effect: 'reads',
    available: availableTo(parts.everyone),
    async call({ arguments: { path = '', recursive = false }, principal, signal }) {
      const folder = await parts.store.project(principal);
      const from = pathParts(path);
      const listed: { path: string; is_dir: boolean; size: number; modified: string }[] = [];
      const add = (names: readonly string[], entry: { isDirectory: boolean; size: number; modifiedAt: Date }) =>
        listed.push({
          path: names.join('/'),
          is_dir: entry.isDirectory,
          size: entry.size,
          modified: entry.modifiedAt.toISOString(),
        });
      const entries = await folder.entries(from);
      if (!recursive) {
        for (const entry of entries.slice(0, MAX_ITEMS)) add([...from, entry.name], entry);
        return { items: listed, truncated: entries.length > MAX_ITEMS };
      }
      for await (const { parts: names, entry } of walk(folder, from, signal)) {
        if (listed.length === MAX_ITEMS) return { items: listed, truncated: true };
        add(names, entry);
      }
      return { items: listed, truncated: false };
    },
  });
