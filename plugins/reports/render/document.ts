/**
 * A report as plain, JSON-safe data: what the writer of a report hands to the renderers, across threads.
 * Nothing in it is markup; every text is printed as it is.
 */

export type ReportLanguage = 'zh' | 'en';

/** Name of a data package inside one report: `D1`, `D2`, … Matches the `ref` of one `SourceEntry`. */
export type SourceRef = string;

export interface LabelledValue {
  label: string;
  value: string;
}

/**
 * One paragraph. `refs` name the packages it draws on: each is shown as a mark (`[D1]`). A mark that already stands in
 * `text` becomes a link where it stands, the others follow at the end. Line feeds in `text` start a new paragraph.
 */
export interface ParagraphBlock {
  type: 'paragraph';
  text: string;
  refs: SourceRef[];
}

export interface KeyValuesBlock {
  type: 'keyValues';
  title?: string;
  rows: LabelledValue[];
  ref?: SourceRef;
}

/** A multi-row table. Rows shorter than `head` are filled with empty cells; surplus cells are not printed. */
export interface TableBlock {
  type: 'table';
  title?: string;
  head: string[];
  rows: string[][];
  ref?: SourceRef;
}

export interface ChartSeries {
  name: string;
  /** One value per category; null where there is none. */
  values: (number | null)[];
}

/** A chart. `line` and `bar` take several series, `pie` one without negative values. */
export interface ChartBlock {
  type: 'chart';
  kind: 'line' | 'bar' | 'pie';
  title?: string;
  categories: string[];
  series: ChartSeries[];
  /** Unit of all values: `亿元`, `%`, … */
  unit?: string;
  /** The same figures stand in a table beside it: where no chart is drawn, none of them is printed again. */
  tabled?: boolean;
  ref?: SourceRef;
}

export type Block = ParagraphBlock | KeyValuesBlock | TableBlock | ChartBlock;

export interface ReportSection {
  /** Unique in the document. */
  id: string;
  /** Chapter number as the outline gives it (`1`, `2.3`, `第一章`). Without it one is counted, `''` shows none. */
  number?: string;
  title: string;
  blocks: Block[];
  children: ReportSection[];
}

/** One entry of the appendix: where the figures marked with `ref` come from. */
export interface SourceEntry {
  ref: SourceRef;
  /** What the package is about, usually the chapter title. */
  title: string;
  knowledgeUnitId?: string;
  packageId?: string;
  source?: string;
  queryTime?: string;
  confirmer?: string;
  confirmTime?: string;
  /** Every other key of the package's `dataSources`. */
  details: LabelledValue[];
}

export interface ReportDocument {
  title: string;
  taskName: string;
  description?: string;
  language: ReportLanguage;
  /** ISO 8601, UTC. Printed on the title page and kept as the creation date of the file. */
  createdAt: string;
  /** Shown on the title page. */
  parameters: LabelledValue[];
  /** Also shown on the title page: what the client sent with the report. */
  metadata?: LabelledValue[];
  /** A plain remark for the title page, such as that no language model was used. */
  notice?: string;
  /** Author in the file's properties; default the product's name. */
  author?: string;
  sections: ReportSection[];
  sources: SourceEntry[];
}

export type ReportFormat = 'PDF' | 'DOCX' | 'HTML' | 'MARKDOWN';

export interface RenderedReport {
  bytes: Uint8Array;
  contentType: string;
  /** Without a dot. */
  extension: string;
  /** Only for formats that have pages. */
  pages?: number;
}
