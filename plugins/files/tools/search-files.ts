import { decodeText, looksLikeText } from '../../../core/encoding.ts';
import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { pathParts } from '../names.ts';
import { matchesPattern } from '../text.ts';
import { walk } from '../walk.ts';
import { availableTo, readBytes, type ToolParts } from './parts.ts';

const MAX_MATCHES = 100;
const MAX_PER_FILE = 20;
const MAX_FILES = 2000;
const MAX_TOTAL_BYTES = 64 << 20;
const MAX_FILE_BYTES = 2 << 20;
const MAX_LINE = 300;

interface Match {
  path: string;
  line: number;
  text: string;
}

export const searchFilesTool = (parts: ToolParts) =>
  defineTool({
    name: 'search_files',
    category: 'read_focus',
    description:
      'Looks for a text in the names and in the lines of text files. The text is taken literally. ' +
      `Gives at most ${MAX_MATCHES} lines, ${MAX_PER_FILE} of one file; files over 2 MB and binary files are left out.`,
    parameters: Type.Object({
      query: Type.String({ minLength: 1, maxLength: 500, description: 'The text to look for' }),
      path: Type.Optional(
        Type.String({
          maxLength: 1024,
          description: 'Directory, relative to the project directory; default: that one',
        }),
      ),
      name_pattern: Type.Optional(
        Type.String({ minLength: 1, maxLength: 200, description: 'Only files with such names, for example *.md' }),
      ),
      case_sensitive: Type.Optional(Type.Boolean()),
    }),
    effect: 'reads',
    available: availableTo(parts.everyone),
    async call({ arguments: { query, path = '', name_pattern = '*', case_sensitive = false }, principal, signal }) {
      const folder = await parts.store.project(principal);
      const from = pathParts(path);
      await folder.find(from);
      const fold = (text: string) => (case_sensitive ? text : text.toLowerCase());
      const wanted = fold(query);
      const matches: Match[] = [];
      const names: string[] = [];
      let [files, bytes] = [0, 0];
      const result = (truncated: boolean) => ({ matches, names, truncated });

      for await (const { parts: found, entry } of walk(folder, from, signal)) {
        if (entry.isDirectory || !matchesPattern(entry.name, name_pattern)) continue;
        if (++files > MAX_FILES || bytes > MAX_TOTAL_BYTES) return result(true);
        const at = found.join('/');
        if (fold(entry.name).includes(wanted) && names.length < MAX_MATCHES) names.push(at);
        if (entry.size > MAX_FILE_BYTES) continue;
        bytes += entry.size;
        const text = textIn(await readBytes(folder, found));
        if (!fold(text).includes(wanted)) continue;
        for (const [line, content] of linesWith(text, wanted, fold)) {
          if (matches.length === MAX_MATCHES) return result(true);
          matches.push({ path: at, line, text: content });
        }
      }
      return result(false);
    },
  });

const textIn = (bytes: Uint8Array | undefined): string =>
  bytes && looksLikeText(bytes) ? (decodeText(bytes)?.text ?? '') : '';

function linesWith(text: string, wanted: string, fold: (text: string) => string): [number, string][] {
  const found: [number, string][] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const at = fold(line).indexOf(wanted);
    if (at < 0) continue;
    // Of a long line the part around the text.
    const from = Math.max(0, Math.min(at - MAX_LINE / 3, line.length - MAX_LINE));
    found.push([index + 1, line.slice(from, from + MAX_LINE).toWellFormed()]);
    if (found.length === MAX_PER_FILE) break;
  }
  return found;
}
