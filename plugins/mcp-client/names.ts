import { createHash } from 'node:crypto';

const MAX_NAME = 64;

/** Name of a server's tool for models: `<server>__<tool>`, of letters, digits, `_` and `-`, at most 64. */
export function toolName(server: string, tool: string): string {
  const name = `${server}__${tool.replace(/[^A-Za-z0-9_-]/g, '_')}`;
  if (name.length <= MAX_NAME && name.endsWith(tool)) return name;
  // What was changed or cut could be the same as another one.
  const mark = createHash('sha256').update(tool).digest('hex').slice(0, 6);
  return `${name.slice(0, MAX_NAME - 7)}_${mark}`;
}
