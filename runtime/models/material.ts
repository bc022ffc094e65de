/** A piece of source text that a model is given to work from. */
export interface Material {
  /** Mark for citations, such as `D1`; answers carry it as `[D1]`. */
  ref?: string;
  title?: string;
  /** True for what only frames the work (the task's own data): the offline model uses it when there is nothing else. */
  background?: boolean;
  text: string;
}

const attribute = (value: string) =>
  value.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/**
 * Writes material the way all models of Koagent get it: one `<material ref="D1" title="…">` block each. What looks like
 * such a tag inside the text is disarmed, so a document cannot end its own block.
 *
 * Lines of the form `- name: value` are facts; a value such as `2021 1,094.64 亿元；2022 1,275.54 亿元` is a series.
 * Headings (`## …`), Markdown tables, JSON and running text are understood as well.
 */
export const formatMaterial = (materials: readonly Material[]): string =>
  materials
    .map(({ ref, title, background, text }) => {
      const attributes = [
        ref === undefined ? '' : ` ref="${attribute(ref)}"`,
        title === undefined ? '' : ` title="${attribute(title)}"`,
        background === true ? ' background="true"' : '',
      ].join('');
      return `<material${attributes}>\n${text.replace(/<(\/?)(?=material\b)/gi, '‹$1').trim()}\n</material>`;
    })
    .join('\n');

const plain = (value: string) =>
  value.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');

// A block holds no other opening tag, so that instructions that merely mention `<material>` open none.
const BLOCK = /<material\b([^>]*)>((?:(?!<material\b)[\s\S])*?)<\/material>/gi;
const UNCLOSED = /^[ \t]*<material\b([^>]*)>[ \t]*\n([\s\S]*)$/im;

/** Takes the blocks out of a text; a last block that begins on a line of its own and is not closed reaches to the end. */
export const extractMaterial = (text: string): { materials: Material[]; rest: string } => {
  const materials: Material[] = [];
  const take = (_: string, attributes: string, body: string) => {
    const of = (name: string) => new RegExp(`\\b${name}\\s*=\\s*"([^"]*)"`, 'i').exec(attributes)?.[1];
    const ref = of('ref');
    const title = of('title');
    materials.push({
      ...(ref !== undefined && { ref: plain(ref) }),
      ...(title !== undefined && { title: plain(title) }),
      ...(of('background') === 'true' && { background: true }),
      text: body.trim(),
    });
    return '\n';
  };
  const rest = text.replace(BLOCK, take).replace(UNCLOSED, take).trim();
  return { materials, rest };
};
