import type { KnowledgeUnit } from '../catalogue.ts';

/** What the server itself knows of a task: nothing else is a source. */
export interface TaskSources {
  parameters: Record<string, unknown>;
  description: string;
  /** When they were read. */
  at: Date;
}

export interface Collected {
  autoData: Record<string, unknown>;
  manualData: string;
  dataSources: Record<string, unknown>;
}

const MAX_DEPTH = 3;

const fold = (name: string) => name.replace(/[\s_-]/g, '').toLowerCase();

/** All values of an object by folded key, outer ones first. */
function* entriesOf(value: Record<string, unknown>, depth = 1): Generator<[key: string, value: unknown]> {
  for (const [key, item] of Object.entries(value)) yield [fold(key), item];
  if (depth >= MAX_DEPTH) return;
  for (const item of Object.values(value)) {
    if (typeof item === 'object' && item !== null && !Array.isArray(item)) {
      yield* entriesOf(item as Record<string, unknown>, depth + 1);
    }
  }
}

const isFilled = (value: unknown): boolean => value !== null && value !== undefined && value !== '';

const escaped = (name: string) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** `注册资本：5000万元，…` in running text; only an explicit colon or 为 counts, so that no sentence is misread. */
function inText(names: readonly string[], text: string): string | undefined {
  for (const name of names) {
    const found = new RegExp(
      `(?:^|[\\s，。；、,;（(])${escaped(name)}\\s*(?:[：:]|为)\\s*([^，。；;\\n]{1,200})`,
      'iu',
    ).exec(text);
    const value = found?.[1]?.trim();
    if (value) return value;
  }
  return undefined;
}

/**
 * Fills the fields of a unit from the task's parameters and description. Nothing is invented: what neither has is listed
 * as missing, and a unit of which nothing is known gives a package that says so.
 *
 * @param unit undefined for ids that are not in the catalogue
 */
export function collectUnit(unitId: string, unit: KnowledgeUnit | undefined, sources: TaskSources): Collected {
  const known = new Map<string, unknown>();
  for (const [key, value] of entriesOf(sources.parameters))
    if (!known.has(key) && isFilled(value)) known.set(key, value);
  const autoData: Record<string, unknown> = {};
  const used = new Set<string>();
  const missing: string[] = [];
  for (const { name, aliases = [] } of unit?.fields ?? []) {
    const names = [name, ...aliases];
    const key = names.map(fold).find((folded) => known.has(folded));
    const found = key === undefined ? inText(names, sources.description) : known.get(key);
    if (found === undefined) {
      missing.push(name);
      continue;
    }
    autoData[name] = found;
    used.add(key === undefined ? '任务说明' : '任务参数');
  }
  const queryTime = sources.at.toISOString().slice(0, 19).replace('T', ' ');
  const suggested = unit && unit.sources.length > 0 ? `，可由${unit.sources.join('、')}补充` : '';
  if (used.size === 0) {
    const subject = unit ? `“${unit.title}”所需的资料` : `知识单元 ${unitId} 所需的资料（目录中没有该单元的定义）`;
    return {
      autoData: {},
      manualData: `系统未能取得${subject}：任务参数和任务说明中没有相关内容${suggested}。`,
      dataSources: { source: '无（任务参数、任务说明中没有相关内容）', queryTime, collector: '系统' },
    };
  }
  return {
    autoData,
    manualData: missing.length > 0 ? `系统未能取得：${missing.join('、')}${suggested}。` : '',
    dataSources: { source: [...used].join('、'), queryTime, collector: '系统' },
  };
}
