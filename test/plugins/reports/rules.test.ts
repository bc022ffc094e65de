import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCatalogue, parseCatalogue } from '../../../plugins/reports/catalogue.ts';
import { checkFreeJson, DATA_LIMITS } from '../../../plugins/reports/free-json.ts';
import { MAX_LEVELS, MAX_NODES, nodesOf, parseOutline, unitsOf } from '../../../plugins/reports/outline.ts';
import { type PackageStatus, TASK_STATUS, type TaskStatus } from '../../../plugins/reports/public.ts';
import { type Action, assertAllowed, nextStep, progressOf } from '../../../plugins/reports/rules.ts';

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

/** The fields of a refusal, with its Chinese messages. */
const fieldsOf = (work: () => unknown): Record<string, string> => {
  try {
    work();
  } catch (error) {
    const { fields } = error as { fields: { field: string; message: { zh: string } }[] };
    return Object.fromEntries(fields.map(({ field, message }) => [field, message.zh]));
  }
  return {};
};

test('actions: each is allowed in exactly the statuses of the state machine', () => {
  const allowed: Record<Action, TaskStatus[]> = {
    start: ['PENDING_OUTLINE', 'PENDING_DATA', 'FAILED'],
    cancel: [
      'PENDING_OUTLINE',
      'OUTLINE_GENERATING',
      'PENDING_OUTLINE_CONFIRM',
      'PENDING_DATA',
      'DATA_COLLECTING',
      'GENERATING',
    ],
    update: ['PENDING_OUTLINE', 'PENDING_OUTLINE_CONFIRM', 'PENDING_DATA', 'FAILED'],
    postOutline: ['PENDING_OUTLINE', 'OUTLINE_GENERATING', 'PENDING_OUTLINE_CONFIRM', 'PENDING_DATA', 'FAILED'],
    confirmOutline: ['PENDING_OUTLINE_CONFIRM'],
    postPackage: TASK_STATUS.filter((status) => status !== 'COMPLETED' && status !== 'CANCELLED'),
    confirmPackage: TASK_STATUS.filter((status) => status !== 'COMPLETED' && status !== 'CANCELLED'),
    postReport: ['PENDING_DATA', 'COMPLETED', 'FAILED'],
  };
  for (const [action, statuses] of Object.entries(allowed) as [Action, TaskStatus[]][]) {
    const found = TASK_STATUS.filter((status) => codeOf(() => assertAllowed(action, status)) === 'ok');
    assert.deepEqual(found, statuses, action);
  }
  assert.equal(
    codeOf(() => assertAllowed('start', 'GENERATING')),
    'TASK_STEP_RUNNING',
  );
  assert.equal(
    codeOf(() => assertAllowed('cancel', 'FAILED')),
    'TASK_TERMINAL',
  );
  assert.equal(
    codeOf(() => assertAllowed('postReport', 'PENDING_OUTLINE_CONFIRM')),
    'OUTLINE_NOT_CONFIRMED',
  );
  assert.equal(
    codeOf(() => assertAllowed('confirmOutline', 'PENDING_DATA')),
    'OUTLINE_ALREADY_CONFIRMED',
  );
});

test('start: it is the next step that needs no person', () => {
  const choose = (
    status: TaskStatus,
    packages: Record<string, PackageStatus> = {},
    failedStep?: 'outline' | 'report',
  ) => {
    let step = '';
    const code = codeOf(() => {
      step = nextStep(status, {
        failedStep,
        units: ['ku_001', 'ku_002'],
        packages: Object.entries(packages).map(([knowledgeUnitId, of]) => ({ knowledgeUnitId, status: of })),
      });
    });
    return code === 'ok' ? step : code;
  };
  assert.equal(choose('PENDING_OUTLINE'), 'outline');
  assert.equal(choose('PENDING_OUTLINE_CONFIRM'), 'OUTLINE_NOT_CONFIRMED');
  assert.equal(choose('PENDING_DATA'), 'collect');
  assert.equal(choose('PENDING_DATA', { ku_001: 'CONFIRMED' }), 'collect');
  assert.equal(choose('PENDING_DATA', { ku_001: 'CONFIRMED', ku_002: 'FAILED' }), 'collect');
  for (const open of ['READY', 'PENDING', 'COLLECTING'] as const) {
    assert.equal(choose('PENDING_DATA', { ku_001: 'CONFIRMED', ku_002: open }), 'DATA_PACKAGE_NOT_CONFIRMED', open);
  }
  assert.equal(choose('PENDING_DATA', { ku_001: 'CONFIRMED', ku_002: 'CONFIRMED' }), 'report');
  assert.equal(
    choose('PENDING_DATA', { ku_001: 'CONFIRMED', ku_002: 'CONFIRMED', ku_9: 'READY' }),
    'DATA_PACKAGE_NOT_CONFIRMED',
  );
  assert.equal(choose('FAILED', {}, 'outline'), 'outline');
  assert.equal(choose('FAILED', {}, 'report'), 'report');
  assert.equal(choose('COMPLETED'), 'TASK_TERMINAL');
  assert.equal(choose('GENERATING'), 'TASK_STEP_RUNNING');
});

test('progress: a step stays in its range and never falls', () => {
  const values = Array.from({ length: 31 }, (_, done) => progressOf('report', done, 30));
  assert.equal(values[0], 40);
  assert.equal(values.at(-1), 95);
  assert.deepEqual(
    values,
    values.toSorted((a, b) => a - b),
  );
});

test('outline: the normal form has trimmed texts, positions as sort order, and children in sort order', () => {
  const root = parseOutline({
    nodeId: 'root',
    title: ' 贷前调查报告 ',
    unknown: 1,
    children: [
      { nodeId: 'b', title: '后', sortOrder: 2, knowledgeUnitId: 'ku_002' },
      { nodeId: 'a', title: '前', sortOrder: 1, knowledgeUnitId: 'ku_001', chapterNumber: '1', children: null },
    ],
  });
  assert.equal(root.title, '贷前调查报告');
  assert.equal(root.sortOrder, 1);
  assert.equal('unknown' in root, false);
  assert.deepEqual(
    [...nodesOf(root)].map(({ nodeId }) => nodeId),
    ['root', 'a', 'b'],
  );
  assert.deepEqual(unitsOf(root), ['ku_001', 'ku_002']);
});

test('outline: every error names its field', () => {
  const child = (nodeId: unknown, more: object = {}) => ({ nodeId, title: nodeId, ...more });
  assert.deepEqual(
    fieldsOf(() => parseOutline({ nodeId: 'root', title: '', children: [child('a'), child('b'), child('a')] })),
    {
      'rootNode.title': '标题不能为空',
      'rootNode.children[2].nodeId': '节点编号 a 与 rootNode.children[0] 重复',
    },
  );
  const cycle = fieldsOf(() =>
    parseOutline({ nodeId: 'root', title: 'r', children: [child('a', { children: [child('root')] })] }),
  );
  assert.match(cycle['rootNode.children[0].children[0].nodeId'] ?? '', /循环/);
  assert.deepEqual(
    Object.keys(
      fieldsOf(() =>
        parseOutline({ nodeId: 'r', title: 'r', children: [7, child('x', { sortOrder: 'one', children: {} })] }),
      ),
    ),
    ['rootNode.children[0]', 'rootNode.children[1].sortOrder', 'rootNode.children[1].children'],
  );
  assert.deepEqual(Object.keys(fieldsOf(() => parseOutline([]))), ['rootNode']);
  assert.deepEqual(
    fieldsOf(() => parseOutline({ nodeId: 'r', title: 'x'.repeat(201) })),
    { 'rootNode.title': '标题不能超过 200 个字符' },
  );
});

test('outline: 500 nodes and 6 levels are the limit', () => {
  const flat = (count: number) => ({
    nodeId: 'root',
    title: 'r',
    children: Array.from({ length: count - 1 }, (_, at) => ({ nodeId: `n${at}`, title: `n${at}` })),
  });
  assert.equal([...nodesOf(parseOutline(flat(MAX_NODES)))].length, MAX_NODES);
  assert.deepEqual(
    fieldsOf(() => parseOutline(flat(MAX_NODES + 1))),
    { 'rootNode.children[499]': '大纲节点不能超过 500 个' },
  );
  const deep = (levels: number): object => {
    let node: object = { nodeId: `l${levels}`, title: 'leaf' };
    for (let level = levels - 1; level >= 1; level -= 1) node = { nodeId: `l${level}`, title: 't', children: [node] };
    return node;
  };
  assert.equal([...nodesOf(parseOutline(deep(MAX_LEVELS)))].length, MAX_LEVELS);
  const refused = fieldsOf(() => parseOutline(deep(MAX_LEVELS + 1)));
  assert.match(Object.values(refused)[0] ?? '', /不能超过 6 层/);
});

test('free JSON: size, depth and __proto__ are refused with the field, $ keys are taken', () => {
  const label = { zh: '数据', en: 'Data' };
  const check = (value: unknown) => checkFreeJson(value, 'autoData', label, DATA_LIMITS);
  assert.equal(check({ $where: 1, 'a.b': { $gt: 2 }, 表: [{ 年: 2020 }] }), undefined);
  assert.equal(check(JSON.parse('{"a":[{"__proto__":{"x":1}}]}'))?.field, 'autoData.a[0].__proto__');
  assert.match(check({ text: '大'.repeat(700_000) })?.message.zh ?? '', /不能超过 2048 KiB/);
  assert.match(check({ list: Array(200_001).fill(1) })?.message.en ?? '', /at most 200000 values/);
  let deep: unknown = 1;
  for (let level = 0; level < 5000; level += 1) deep = { deep };
  assert.match(check(deep)?.message.zh ?? '', /嵌套不能超过 20 层/);
  assert.equal(Object.getPrototypeOf({}), Object.prototype);
});

test('catalogue: mistakes are refused naming the place', () => {
  const outlines = 'outlines: { default: { title: 报告, chapters: [{ title: 一, unit: ku_1 }] } }';
  const good = parseCatalogue(`units: [{ id: ku_1, title: 一 }]\n${outlines}`, 'test.yaml');
  assert.deepEqual(good.find('ku_1'), { id: 'ku_1', title: '一', instructions: '', fields: [], sources: [] });
  assert.equal(good.find('ku_2'), undefined);
  assert.equal(good.outlineFor('constructor').title, '报告');
  const refused = (text: string) => {
    assert.throws(() => parseCatalogue(text, 'test.yaml'), { code: 'KNOWLEDGE_UNITS_INVALID' });
  };
  refused(`units: [{ id: ku_1, title: 一 }, { id: ku_1, title: 二 }]\n${outlines}`);
  refused(`units: []\n${outlines}`);
  refused('units: [{ id: ku_1 }]');
  refused('units: [\n');
  assert.throws(() => loadCatalogue(new URL('file:///nowhere/units.yaml')), { code: 'KNOWLEDGE_UNITS_INVALID' });
  refused('units: [{ id: ku_1, title: 一 }]\noutlines: {}');
});
