import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AppError } from '../../../core/errors.ts';
import {
  compileGraph,
  diffGraphs,
  GRAPH_LIMITS,
  type GraphEdge,
  type GraphNode,
  type NodeTypeCheck,
  type Problem,
  validateGraph,
} from '../../../runtime/graph/index.ts';
import { inOnePass } from '../../support/effort.ts';
import { edges, graphOf, node } from './support.ts';

const TYPES = ['start', 'input', 'llm', 'condition', 'transform', 'loop', 'agent', 'output', 'end', 'work'];
const nodeTypes = new Map<string, NodeTypeCheck>(TYPES.map((type) => [type, {}]));
const validate = (nodes: unknown, list: unknown) => validateGraph(nodes, list, { nodeTypes });
const brief = (problems: Problem[]) => problems.map(({ code, nodeId, edgeId }) => [code, nodeId ?? edgeId]).sort();

const llm = (id: string, data: Record<string, unknown> = {}) =>
  node(id, 'llm', { provider: 'deepseek', model: 'deepseek-chat', prompt: '{input}', ...data });
const condition = (id: string, expression: unknown = '{value} > 10') => node(id, 'condition', { expression });
const loop = (id: string, data: Record<string, unknown> = {}) => node(id, 'loop', { items_path: 'items', ...data });
const work = (...ids: string[]) => ids.map((id) => node(id, 'work'));

test('validate: the documented sample has neither errors nor warnings', () => {
  const { nodes, edges: list } = graphOf(
    ['start-1 > llm-1 > end-1'],
    [llm('llm-1', { label: 'LLM处理', prompt: '请总结以下文本：{input}' })],
  );
  assert.deepEqual(validate(nodes, list), { valid: true, errors: [], warnings: [] });
});

type Case = [title: string, nodes: unknown, edges: unknown, expected: [string, string | undefined][]];
const graph = (chains: string[], given: GraphNode[] = []): [GraphNode[], GraphEdge[]] => {
  const { nodes, edges: list } = graphOf(chains, given);
  return [nodes, list];
};

const errors: Case[] = [
  ['no nodes', [], [], [['NODES_MISSING', undefined]]],
  ['no start node', ...graph(['a > end'], work('a')), [['START_MISSING', undefined]]],
  ['two start nodes', ...graph(['start-1 > end', 'start-2 > end']), [['START_REPEATED', 'start-2']]],
  ['an id used twice', [node('start'), node('end'), node('end')], edges('start > end'), [['NODE_ID_REPEATED', 'end']]],
  ['an unknown type', ...graph(['start > x > end'], [node('x', 'magic')]), [['NODE_TYPE_UNKNOWN', 'x']]],
  ['a type from a prototype', ...graph(['start > x > end'], [node('x', 'constructor')]), [['NODE_TYPE_UNKNOWN', 'x']]],
  [
    'an edge to nowhere',
    [node('start'), node('end')],
    edges('start > end', 'start > gone'),
    [['EDGE_END_UNKNOWN', 'gone']],
  ],
  ['an edge to itself', ...graph(['start > a > a', 'a > end'], work('a')), [['EDGE_TO_ITSELF', 'a']]],
  ['a cycle', ...graph(['start > a > b > a', 'b > end'], work('a', 'b')), [['CYCLE', 'a']]],
  ['a cycle beside the start', ...graph(['start > end', 'a > b > a'], work('a', 'b')), [['CYCLE', 'a']]],
  [
    'a cycle through a loop that is no return from its body',
    ...graph(['start > loop:body > a', 'loop:done > b > loop', 'b > end'], [loop('loop'), ...work('a', 'b')]),
    [['CYCLE', 'loop']],
  ],
  [
    'a cycle inside a body',
    ...graph(['start > loop:body > a > b > a', 'loop:done > end'], [loop('loop'), ...work('a', 'b')]),
    [['CYCLE', 'a']],
  ],
  [
    'a cycle by parents',
    [node('start'), node('end'), { ...loop('l'), parentNode: 'm' }, { ...loop('m'), parentNode: 'l' }],
    edges('start > end'),
    [['CYCLE', 'l']],
  ],
  [
    'a node after a loop that leads into its body',
    [node('start'), node('end'), loop('l'), { ...node('a', 'work'), parentNode: 'l' }, ...work('b')],
    edges('start > l > b > a', 'l > end'),
    [['CYCLE', 'l']],
  ],
  ['an edge into the start', ...graph(['start > a > end', 'b > start'], work('a', 'b')), [['START_ENTERED', 'start']]],
  ['an edge out of an end', ...graph(['start > end > a'], work('a')), [['END_LEFT', 'end']]],
  [
    'an llm without prompt',
    ...graph(['start > llm > end'], [llm('llm', { prompt: ' ' })]),
    [['CONFIG_INVALID', 'llm']],
  ],
  [
    'a condition without expression',
    ...graph(['start > c:true > end', 'c:false > end'], [node('c', 'condition')]),
    [['CONFIG_INVALID', 'c']],
  ],
  [
    'a condition that cannot be parsed',
    ...graph(['start > c:true > end', 'c:false > end'], [condition('c', '{a} >')]),
    [['CONFIG_INVALID', 'c']],
  ],
  [
    'a loop without items_path',
    ...graph(['start > l > a > end'], [loop('l', { items_path: '' }), ...work('a')]),
    [['CONFIG_INVALID', 'l']],
  ],
  [
    'a transform with an unknown mode',
    ...graph(['start > t > end'], [node('t', 'transform', { mode: 'x' })]),
    [['CONFIG_INVALID', 't']],
  ],
  [
    'a transform without rules',
    ...graph(['start > t > end'], [node('t', 'transform', { mode: 'filter' })]),
    [['CONFIG_INVALID', 't']],
  ],
  ['an agent without anything', ...graph(['start > agent > end']), [['CONFIG_INVALID', 'agent']]],
  [
    'a strange handle of a condition',
    ...graph(['start > c:true > end', 'c:false > end', 'c:maybe > a > end'], [condition('c'), ...work('a')]),
    [['HANDLE_INVALID', 'c']],
  ],
  [
    'a strange error policy',
    ...graph(['start > a > end'], [node('a', 'work', { on_error: 'x', retry: { max: 99 } })]),
    [
      ['CONFIG_INVALID', 'a'],
      ['CONFIG_INVALID', 'a'],
    ],
  ],
  [
    'loops nested too deeply',
    ...deepLoops(GRAPH_LIMITS.loopDepth + 2),
    [['LOOP_TOO_DEEP', `l${GRAPH_LIMITS.loopDepth}`]],
  ],
  ['nodes that are no list', { a: 1 }, [], [['SHAPE_INVALID', undefined]]],
  ['edges that are no list', [node('start')], 'x', [['SHAPE_INVALID', undefined]]],
  ['a node without id', [node('start'), { type: 'end' }], [], [['SHAPE_INVALID', undefined]]],
  ['a node without type', [node('start'), { id: 'x' }], [], [['SHAPE_INVALID', 'x']]],
  [
    'data that is no object',
    [node('start'), { id: 'x', type: 'end', data: [] }],
    edges('start > x'),
    [['SHAPE_INVALID', 'x']],
  ],
  ['an edge without target', [node('start'), node('end')], [{ id: 'e', source: 'start' }], [['SHAPE_INVALID', 'e']]],
];
function deepLoops(count: number): [GraphNode[], GraphEdge[]] {
  const ids = Array.from({ length: count }, (_, at) => `l${at}`);
  return graph([`start > ${ids.join(' > ')} > a > end`], [...ids.map((id) => loop(id)), ...work('a')]);
}
for (const [title, nodes, list, expected] of errors) {
  test(`validate: ${title} is an error`, () => {
    const { valid, errors: found } = validate(nodes, list);
    assert.deepEqual(brief(found), expected);
    assert.equal(valid, false);
    for (const { nodeId, text } of found) {
      if (nodeId !== undefined) assert.ok(text.zh.includes(nodeId) && text.en.includes(nodeId), text.zh);
    }
  });
}

const warnings: Case[] = [
  [
    'neither end nor output',
    ...graph(['start > a'], work('a')),
    [
      ['NODE_LEADS_NOWHERE', 'a'],
      ['OUTPUT_MISSING', undefined],
    ],
  ],
  ['an unreachable node', ...graph(['start > end', 'a > end'], work('a')), [['NODE_UNREACHABLE', 'a']]],
  ['a dead end', ...graph(['start > end', 'start > a'], work('a')), [['NODE_LEADS_NOWHERE', 'a']]],
  ['a missing branch', ...graph(['start > c:true > end'], [condition('c')]), [['BRANCH_MISSING', 'c']]],
  [
    'an edge of a condition without handle',
    ...graph(['start > c > end', 'c:false > end'], [condition('c')]),
    [['HANDLE_MISSING', 'c']],
  ],
  [
    'a model by default',
    ...graph(['start > llm > end'], [node('llm', 'llm', { prompt: 'x' })]),
    [['MODEL_DEFAULT', 'llm']],
  ],
  [
    'an unknown name in a template',
    ...graph(['start > llm > end'], [llm('llm', { prompt: '{llm-9.text} {start.x} {input}' })]),
    [['TEMPLATE_NAME_UNKNOWN', 'llm']],
  ],
  [
    'a brace without its end in a template',
    ...graph(
      ['start > llm > end'],
      [llm('llm', { prompt: 'Hello {input, {{input}: {"json": [1]} {a: 1} {input} {input.x' })],
    ),
    [
      ['TEMPLATE_OPEN', 'llm'],
      ['TEMPLATE_OPEN', 'llm'],
      ['TEMPLATE_OPEN', 'llm'],
    ],
  ],
  [
    'an unknown node to merge',
    ...graph(['start > t > end'], [node('t', 'transform', { mode: 'merge', sources: ['start', 'gone'] })]),
    [['TEMPLATE_NAME_UNKNOWN', 't']],
  ],
  [
    'an edge id used twice',
    [node('start'), ...work('a'), node('end')],
    [
      { id: 'e', source: 'start', target: 'a' },
      { id: 'e', source: 'a', target: 'end' },
    ],
    [['EDGE_ID_REPEATED', 'e']],
  ],
  ['an empty body', ...graph(['start > l > end'], [loop('l')]), [['LOOP_BODY_EMPTY', 'l']]],
  [
    'an edge given twice',
    [node('start'), node('end')],
    edges('start > end', 'start > end'),
    [['EDGE_REPEATED', 'start']],
  ],
  [
    'a node that two loops share',
    ...graph(['start > l > a > m > end', 'start > k > b > m'], [loop('l'), loop('k'), ...work('a', 'b', 'm')]),
    [['LOOP_BODY_SHARED', 'm']],
  ],
];
for (const [title, nodes, list, expected] of warnings) {
  test(`validate: ${title} is a warning`, () => {
    const { valid, errors: found, warnings: told } = validate(nodes, list);
    assert.deepEqual(brief(told), expected);
    assert.deepEqual({ valid, found }, { valid: true, found: [] });
  });
}

test('validate: a computed field that cannot be parsed is named', () => {
  const rules = { good: '1 + 1', 'total.sum': '{a} +' };
  const { errors: found } = validate(
    ...graph(['start > t > end'], [node('t', 'transform', { mode: 'compute', compute_rules: rules })]),
  );
  assert.match(found[0]?.text.zh ?? '', /^节点 t：compute_rules.total.sum：表达式第 6 个字符处/);
});

test('validate: names of templates that can be there give no warning', () => {
  const given = [
    node('input', 'input', { fields: [{ name: 'topic' }] }),
    node('t', 'transform', { mapping: { title: 'topic' } }),
    llm('a', { prompt: '{topic} {title} {input} {"json": {"x": 1}}' }),
    loop('l', { item_variable: 'doc', items_path: 't.list' }),
    llm('b', { prompt: '{doc.name} {index} {total} {a.text} {l.index}', system_prompt: '{t.x}' }),
  ];
  const { nodes, edges: list } = graphOf(['start > input > t > a > l > b > end'], given);
  assert.deepEqual(validate(nodes, list), { valid: true, errors: [], warnings: [] });
});

test('validate: edges back to their loop are no cycles', () => {
  const given = [loop('l'), loop('m'), ...work('a', 'b')];
  const chains = ['start > l:body > m:body > a > m', 'm:done > b > l', 'l:done > end'];
  assert.deepEqual(validate(...graph(chains, given)), { valid: true, errors: [], warnings: [] });
});

test('validate: the own check of a node type is asked and its complaints name the node', () => {
  const types = new Map(nodeTypes).set('work', {
    check: (data) => (data.url ? [] : [{ zh: '缺少 url', en: 'url is missing' }]),
    templates: ['url'],
  });
  const { nodes, edges: list } = graphOf(
    ['start > a > b > end'],
    [node('a', 'work'), node('b', 'work', { url: '{x}' })],
  );
  const { errors: found } = validateGraph(nodes, list, { nodeTypes: types });
  assert.deepEqual(found, [
    { code: 'CONFIG_INVALID', nodeId: 'a', text: { zh: '节点 a：缺少 url', en: 'node a: url is missing' } },
  ]);
});

test('validate: 10,000 nodes are allowed, 10,001 and 50,001 edges are not', () => {
  const chain = (count: number) => {
    const nodes = [node('start'), ...Array.from({ length: count - 2 }, (_, at) => node(`n${at}`, 'work')), node('end')];
    const list = nodes.slice(1).map(({ id }, at) => ({ source: nodes[at]?.id, target: id }));
    return [nodes, list] as const;
  };
  assert.deepEqual(validate(...chain(10_000)), { valid: true, errors: [], warnings: [] });
  assert.deepEqual(brief(validate(...chain(10_001)).errors), [['TOO_MANY_NODES', undefined]]);
  const many = new Array(50_001).fill({ source: 'start', target: 'end' });
  assert.deepEqual(brief(validate([node('start'), node('end')], many).errors), [['TOO_MANY_EDGES', undefined]]);
});

test('validate: the largest hostile graphs are judged in one pass', async () => {
  const ids = Array.from({ length: 9998 }, (_, at) => `n${at}`);
  const pick = (at: number) => ids[at % ids.length] ?? '';
  const random = (seed: number) => (Math.imul(seed, 2654435761) >>> 7) % ids.length;
  const shapes: Record<string, [(id: string, at: number) => GraphNode, (at: number) => GraphEdge]> = {
    'dense forward': [
      (id) => node(id, 'work'),
      (at) => ({ source: pick(at % 9000), target: pick((at % 9000) + 1 + (random(at) % 900)) }),
    ],
    'random cycles': [(id) => node(id, 'work'), (at) => ({ source: pick(at), target: pick(random(at)) })],
    'all loops, by region': [(id) => loop(id), (at) => ({ source: pick(at), target: pick(at + 1) })],
    'all loops, one after the other': [
      (id, at) => (at % 2 ? node(id, 'work') : loop(id)),
      (at) => {
        const even = (Math.floor(at / 2) * 2) % 9990;
        return at % 2
          ? { source: pick(even), target: pick(even + 1), sourceHandle: 'body' }
          : { source: pick(even), target: pick(even + 2), sourceHandle: 'done' };
      },
    ],
    'all loops in parallel that meet': [
      (id) => loop(id),
      (at) => ({ source: at % 2 ? 'start' : pick(at), target: at % 2 ? pick(at) : 'n9997' }),
    ],
    'parents in a chain': [
      (id, at) => ({ ...loop(id), parentNode: pick(at + 1) }),
      (at) => ({ source: 'start', target: pick(at) }),
    ],
    'one id': [() => node('same', 'work'), () => ({ source: 'same', target: 'same' })],
  };
  for (const [title, [nodeOf, edgeOf]] of Object.entries(shapes)) {
    const nodes = [node('start'), ...ids.map(nodeOf), node('end')];
    const list = Array.from({ length: 50_000 }, (_, at) => edgeOf(at));
    const { errors: found } = await inOnePass(() => validate(nodes, list), title);
    assert.ok(found.length <= GRAPH_LIMITS.problems);
    diffGraphs({ nodes, edges: list }, { nodes: nodes.slice(1), edges: list });
  }
});

test('validate: graphs of any form never throw, and what is valid compiles', () => {
  const id = fc.constantFrom('a', 'b', 'c', 'start', 'end', '__proto__', 'constructor', '');
  const any = fc.jsonValue({ maxDepth: 3 });
  const data = fc.oneof(
    any,
    fc.record(
      {
        expression: fc.oneof(any, fc.constant('{a} > 1')),
        prompt: fc.oneof(any, fc.constant('{b.c} {')),
        items_path: fc.oneof(any, fc.constant('items')),
        mode: fc.oneof(any, fc.constantFrom('mapping', 'merge')),
        mapping: any,
        retry: any,
        parent_id: id,
      },
      { requiredKeys: [] },
    ),
  );
  const type = fc.oneof(fc.constantFrom(...TYPES), any);
  const oneNode = fc.oneof(
    any,
    fc.record({ id: fc.oneof(id, any), type, data, parentNode: fc.oneof(id, any) }, { requiredKeys: ['id', 'type'] }),
  );
  const handle = fc.oneof(fc.constantFrom('true', 'false', 'body', 'done', null), any);
  const oneEdge = fc.oneof(
    any,
    fc.record(
      { id, source: id, target: id, sourceHandle: handle, label: handle },
      { requiredKeys: ['source', 'target'] },
    ),
  );
  const list = <T>(item: fc.Arbitrary<T>) =>
    fc.oneof({ arbitrary: any, weight: 1 }, { arbitrary: fc.array(item, { maxLength: 8 }), weight: 9 });
  // Half of the graphs have the right form, so that their structure is looked at.
  const ids = fc.constantFrom('a', 'b', 'c', 'd', '__proto__');
  const tameNodes = fc.uniqueArray(
    fc.record(
      { id: ids, type: fc.constantFrom(...TYPES.slice(1)), data, parentNode: ids },
      { requiredKeys: ['id', 'type'] },
    ),
    { selector: (one) => one.id },
  );
  const tameEdges = fc.array(
    fc.record(
      { source: fc.oneof(ids, fc.constant('start')), target: ids, sourceHandle: handle },
      { requiredKeys: ['source', 'target'] },
    ),
    { maxLength: 4 },
  );
  const graphs = fc.oneof(fc.tuple(list(oneNode), list(oneEdge)), fc.tuple(tameNodes, tameEdges));
  let compiled = 0;
  fc.assert(
    fc.property(graphs, fc.boolean(), ([some, links], started) => {
      const nodes = started && Array.isArray(some) ? [node('start'), ...some] : some;
      const { valid, errors: found, warnings: told } = validate(nodes, links);
      assert.equal(valid, found.length === 0);
      for (const { text } of [...found, ...told]) assert.ok(text.zh && text.en);
      try {
        compileGraph(nodes, links);
        compiled += 1;
      } catch (error) {
        assert.ok(error instanceof AppError && error.code === 'WORKFLOW_INVALID', String(error));
        assert.ok(!valid);
      }
      diffGraphs({ nodes, edges: links }, { nodes: links, edges: nodes });
    }),
    { numRuns: 3000 },
  );
  assert.ok(compiled > 50, `only ${compiled} compiled`);
});

test('diff: added, removed and changed nodes and edges with their fields', () => {
  const before = graphOf(['start > a > end'], [node('a', 'llm', { prompt: 'x', retry: { max: 1 }, list: [1] })]);
  const after = graphOf(
    ['start > a > b > end'],
    [{ ...node('a', 'llm', { prompt: 'y', retry: { max: 2 }, list: [1] }), position: { x: 1 } }],
  );
  const diff = diffGraphs(before, after);
  assert.deepEqual(
    diff.nodes.added.map(({ id }) => id),
    ['b'],
  );
  assert.deepEqual(diff.nodes.removed, []);
  assert.deepEqual(diff.nodes.changed, [
    {
      id: 'a',
      changes: [
        { field: 'data.prompt', before: 'x', after: 'y' },
        { field: 'data.retry.max', before: 1, after: 2 },
        { field: 'position', before: undefined, after: { x: 1 } },
      ],
    },
  ]);
  assert.deepEqual(diff.edges.changed, [{ id: 'e2', changes: [{ field: 'target', before: 'end', after: 'b' }] }]);
  assert.deepEqual(
    diff.edges.added.map(({ id }) => id),
    ['e3'],
  );
  assert.equal(diff.same, false);
});

test('diff: edges without ids are matched by their ends, order does not count, 5 and "5" differ', () => {
  const a = {
    nodes: [node('a'), node('b')],
    edges: [
      { source: 'a', target: 'b' },
      { source: 'a', target: 'b', sourceHandle: 'true' },
    ],
  };
  const b = { nodes: [node('b'), node('a')], edges: [...a.edges].reverse() };
  assert.deepEqual(diffGraphs(a, b).same, true);
  assert.deepEqual(
    diffGraphs(a, { ...a, edges: a.edges.slice(1) }).edges.removed.map(({ id }) => id),
    ['a -> b'],
  );
  const [five, text] = [5, '5'].map((n) => ({ nodes: [node('a', 'a', { n })], edges: [] }));
  assert.ok(five && text);
  assert.equal(diffGraphs(five, text).same, false);
});
