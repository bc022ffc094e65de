import { readFileSync } from 'node:fs';

/** Simplified character by traditional one, both as codes; 0 where there is nothing to change. All of them are in the basic plane. */
const TABLE = new Uint16Array(65_536);
for (const line of readFileSync(new URL('./simplified.txt', import.meta.url), 'utf8').split('\n'))
  if (!line.startsWith('#'))
    for (const pair of line.split(' ')) if (pair.length === 2) TABLE[pair.charCodeAt(0)] = pair.charCodeAt(1);

/** Lengths stay, so places in the text do. Which of several traditional characters was meant is lost, which a search wants. */
export function simplified(text: string): string {
  let done = 0;
  let result = '';
  for (let at = 0; at < text.length; at++) {
    const code = TABLE[text.charCodeAt(at)] ?? 0;
    if (code === 0) continue;
    result += text.slice(done, at) + String.fromCharCode(code);
    done = at + 1;
  }
  return done === 0 ? text : result + text.slice(done);
}
