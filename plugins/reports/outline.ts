import type { FieldError, LocalText } from '../../core/errors.ts';
import { ReportInputError } from './errors.ts';
import type { OutlineNode } from './public.ts';
import { countCharacters } from './render/text.ts';

export const MAX_NODES = 500;
/** Levels of nodes, the root node being the first. */
export const MAX_LEVELS = 6;
const MAX_ERRORS = 20;

const LABELS: Record<string, LocalText> = {
  nodeId: { zh: '节点编号', en: 'Node id' },
  title: { zh: '标题', en: 'Title' },
  chapterNumber: { zh: '章节号', en: 'Chapter number' },
  knowledgeUnitId: { zh: '知识单元编号', en: 'Knowledge unit id' },
};

/**
 * Checks a tree of outline nodes that a client sent and gives it its normal form: texts trimmed, missing `sortOrder`
 * filled with the position, unknown fields left out.
 *
 * @throws {ReportInputError} every error names its field, such as `rootNode.children[2].nodeId`
 */
export function parseOutline(rootNode: unknown): OutlineNode {
  const errors: FieldError[] = [];
  /** Where each id was first seen. */
  const seen = new Map<string, string>();
  let count = 0;

  const fail = (field: string, zh: string, en: string) => {
    if (errors.length < MAX_ERRORS) errors.push({ field, message: { zh, en } });
  };

  const readText = (source: Record<string, unknown>, at: string, name: string, max: number): string | undefined => {
    const label = LABELS[name] ?? { zh: name, en: name };
    const value = source[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') {
      fail(`${at}.${name}`, `${label.zh}必须是字符串`, `${label.en} must be text`);
      return undefined;
    }
    const text = value.trim();
    if (countCharacters(text) <= max) return text;
    fail(`${at}.${name}`, `${label.zh}不能超过 ${max} 个字符`, `${label.en} must have at most ${max} characters`);
    return undefined;
  };

  const required = (source: Record<string, unknown>, at: string, name: string, max: number): string => {
    const before = errors.length;
    const text = readText(source, at, name, max);
    const label = LABELS[name] ?? { zh: name, en: name };
    if (!text && errors.length === before)
      fail(`${at}.${name}`, `${label.zh}不能为空`, `${label.en} must not be empty`);
    return text ?? '';
  };

  const visit = (
    value: unknown,
    at: string,
    position: number,
    ancestors: readonly string[],
  ): OutlineNode | undefined => {
    count += 1;
    if (count > MAX_NODES) {
      if (count === MAX_NODES + 1)
        fail(at, `大纲节点不能超过 ${MAX_NODES} 个`, `An outline must have at most ${MAX_NODES} nodes`);
      return undefined;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      fail(at, '大纲节点必须是对象', 'An outline node must be an object');
      return undefined;
    }
    if (ancestors.length >= MAX_LEVELS) {
      fail(at, `大纲不能超过 ${MAX_LEVELS} 层`, `An outline must have at most ${MAX_LEVELS} levels`);
      return undefined;
    }
    const source = value as Record<string, unknown>;
    const nodeId = required(source, at, 'nodeId', 100);
    const first = seen.get(nodeId);
    if (nodeId && ancestors.includes(nodeId)) {
      fail(
        `${at}.nodeId`,
        `节点编号 ${nodeId} 与上级节点相同，形成循环`,
        `Node id ${nodeId} is that of a parent: a cycle`,
      );
    } else if (nodeId && first !== undefined) {
      fail(`${at}.nodeId`, `节点编号 ${nodeId} 与 ${first} 重复`, `Node id ${nodeId} is already used at ${first}`);
    } else {
      seen.set(nodeId, at);
    }
    const title = required(source, at, 'title', 200);
    const chapterNumber = readText(source, at, 'chapterNumber', 50);
    const knowledgeUnitId = readText(source, at, 'knowledgeUnitId', 100);
    let sortOrder = position;
    if (source.sortOrder !== undefined && source.sortOrder !== null) {
      if (Number.isSafeInteger(source.sortOrder)) sortOrder = source.sortOrder as number;
      else fail(`${at}.sortOrder`, '排序号必须是整数', 'Sort order must be an integer');
    }
    const below = [...ancestors, nodeId];
    let children: OutlineNode[] = [];
    if (Array.isArray(source.children)) {
      for (const [index, child] of source.children.entries()) {
        const node = visit(child, `${at}.children[${index}]`, index + 1, below);
        if (node) children.push(node);
        if (count > MAX_NODES || errors.length >= MAX_ERRORS) break;
      }
    } else if (source.children !== undefined && source.children !== null) {
      fail(`${at}.children`, '下级节点必须是数组', 'Children must be an array');
    }
    children = children.sort((a, b) => a.sortOrder - b.sortOrder);
    return {
      nodeId,
      title,
      ...(chapterNumber && { chapterNumber }),
      ...(knowledgeUnitId && { knowledgeUnitId }),
      sortOrder,
      children,
    };
  };

  const root = visit(rootNode, 'rootNode', 1, []);
  if (!root || errors.length > 0) throw new ReportInputError(errors);
  return root;
}

/** All nodes in reading order, the root first. */
export function* nodesOf(root: OutlineNode): Generator<OutlineNode> {
  yield root;
  for (const child of root.children) yield* nodesOf(child);
}

/** Knowledge units in reading order, each once. */
export const unitsOf = (root: OutlineNode): string[] => [
  ...new Set([...nodesOf(root)].flatMap((node) => node.knowledgeUnitId ?? [])),
];

/** The chapters of a report: the nodes below the root, or the root itself when it stands alone. */
export const chaptersOf = (root: OutlineNode): OutlineNode[] => (root.children.length > 0 ? root.children : [root]);
