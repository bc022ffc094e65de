/** One statement of a material text, with what it stands under. */
interface Statement {
  heading: string;
  /** Head and rule of the table that it is a row of. */
  table: string;
  line: string;
}

/**
 * Divides the text of a package among the sections that are written from it, so that none repeats another: every statement
 * goes to the section whose title has most in common with it, what fits none to the first.
 *
 * @returns one text per title; empty where nothing fits
 */
export function divideText(text: string, titles: readonly string[]): string[] {
  const wanted = titles.map(termsOf);
  const shares = titles.map((): Statement[] => []);
  for (const statement of statementsOf(text)) {
    const name = statement.table ? (statement.line.split(/(?<!\\)\|/)[1] ?? '') : statement.line;
    const scores = wanted.map((terms) => 2 * common(terms, name) + common(terms, statement.heading));
    const best = Math.max(0, ...scores);
    shares[Math.max(0, best > 0 ? scores.indexOf(best) : 0)]?.push(statement);
  }
  return shares.map(textOf);
}

function statementsOf(text: string): Statement[] {
  const statements: Statement[] = [];
  let heading = '';
  let table = '';
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (!line.startsWith('|')) table = '';
    if (line.startsWith('## ')) heading = line;
    else if (line.startsWith('|') && /^\|[\s|:-]+$/.test(lines[at + 1] ?? '')) {
      table = `${line}\n${lines[at + 1]}`;
      at += 1;
    } else if (line.trim() !== '') statements.push({ heading, table, line });
  }
  return statements;
}

function textOf(statements: readonly Statement[]): string {
  const lines: string[] = [];
  let [heading, table] = ['', ''];
  for (const statement of statements) {
    if (statement.heading !== heading) lines.push(statement.heading);
    if (statement.table !== '' && (statement.table !== table || statement.heading !== heading))
      lines.push(statement.table);
    ({ heading, table } = statement);
    lines.push(statement.line);
  }
  return lines.join('\n');
}

/** Pairs of Han characters and whole Latin words. */
function termsOf(title: string): string[] {
  const han = title.match(/\p{Script=Han}+/gu) ?? [];
  const pairs = han.flatMap((word) =>
    Array.from({ length: Math.max(0, word.length - 1) }, (_, at) => word.slice(at, at + 2)),
  );
  return [...new Set([...pairs, ...(title.toLowerCase().match(/[a-z]{3,}/g) ?? [])])];
}

const common = (terms: readonly string[], text: string): number => {
  const lower = text.toLowerCase();
  return terms.filter((term) => lower.includes(term)).length;
};
