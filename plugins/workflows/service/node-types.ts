import type { LocalText } from '../../../core/errors.ts';
import { type NodeTypeCheck, validateGraph } from '../../../runtime/graph/index.ts';
import type { NodeDescription, Pool } from '../../../runtime/pool/index.ts';
import { COMMON_FIELDS, CONTROL_TYPES, LARGE_TRANSFORM } from '../engine/control-types.ts';
import type { Graph, NodeType } from '../public.ts';

/** All node types of this installation: those that the engine carries out itself, and those of the worker pool. */
export interface NodeTypes {
  describe(): NodeType[];
  /** The newest version of a type of the pool. */
  pooled(type: string): NodeDescription | undefined;
  validate(graph: Graph): { valid: boolean; errors: LocalText[]; warnings: LocalText[] };
}

/**
 * Node types without a label are internal to their plugin (they may read what their plugin alone checks), and a workflow cannot use
 * them. This one has a label and serves the engine alone.
 */
const isUsable = ({ type, label }: NodeDescription) => label !== undefined && type !== LARGE_TRANSFORM;

export function createNodeTypes(pool: Pick<Pool, 'describe'>): NodeTypes {
  let known: { size: number; pooled: Map<string, NodeDescription>; checks: Map<string, NodeTypeCheck> } | undefined;

  /** Plugins add their node types after this one was set up. */
  const current = () => {
    const described = pool.describe();
    if (known?.size === described.length) return known;
    const pooled = new Map<string, NodeDescription>();
    // Versions ascend: the last one is the newest.
    for (const description of described) pooled.set(description.type, description);
    const checks = new Map<string, NodeTypeCheck>();
    for (const [type, description] of pooled) if (isUsable(description)) checks.set(type, checkOf(description));
    for (const { type, check, templates } of CONTROL_TYPES) {
      checks.set(type, { ...(check && { check }), ...(templates && { templates }) });
    }
    known = { size: described.length, pooled, checks };
    return known;
  };

  return {
    pooled: (type) => current().pooled.get(type),

    validate({ nodes, edges }) {
      const { valid, errors, warnings } = validateGraph(nodes, edges, { nodeTypes: current().checks });
      return { valid, errors: errors.map(({ text }) => text), warnings: warnings.map(({ text }) => text) };
    },

    describe() {
      const { pooled, checks } = current();
      const ofPool = [...pooled.values()]
        .filter(({ type }) => checks.has(type) && !isControl(type))
        .map(describePooled);
      return [...CONTROL_TYPES.map(({ described }) => described), ...ofPool];
    },
  };
}

const isControl = (type: string) => CONTROL_TYPES.some((control) => control.type === type);

const describePooled = (node: NodeDescription): NodeType => ({
  type: node.type,
  version: node.version,
  label: node.label ?? { zh: node.type, en: node.type },
  summary: node.summary ?? { zh: '', en: '' },
  lane: node.lane,
  literal: node.literal,
  // Fields of its own go before those that every node has.
  config: { ...node.config, properties: { ...COMMON_FIELDS, ...(node.config.properties as object | undefined) } },
  input: node.input,
  output: node.output,
});

/** What can be told of a configuration before templates are filled: that a required field is missing. */
function checkOf({ config, literal, type }: NodeDescription): NodeTypeCheck {
  const properties = (config.properties ?? {}) as Record<string, { default?: unknown }>;
  const required = ((config.required ?? []) as string[]).filter((name) => properties[name]?.default === undefined);
  // The documented types have their own rules.
  const own = type === 'llm' || type === 'agent';
  return {
    templates: Object.keys(properties).filter((name) => !literal.includes(name)),
    check: (data) =>
      own
        ? []
        : required
            .filter((name) => data[name] === undefined || data[name] === null || data[name] === '')
            .map((name) => ({ zh: `缺少配置 ${name}`, en: `${name} is missing` })),
  };
}
