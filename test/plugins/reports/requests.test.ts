import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MAX_NODES } from '../../../plugins/reports/outline.ts';
import { MAX_PACKAGES } from '../../../plugins/reports/service/packages.ts';
import { startTestServer, type TestServer } from '../../support/app.ts';
import { type ReportClient, reportClient } from './client.ts';

// Requests at the edges of the documented rules, against the offline model.

const closers: (() => Promise<void>)[] = [];
const owner = { after: (close: unknown) => void closers.unshift(close as () => Promise<void>) };
let server: TestServer;
let client: ReportClient;

before(async () => {
  server = await startTestServer(owner);
  client = await reportClient(server.url, 'bank-edge');
});

after(async () => {
  for (const close of closers) await close();
});

const newTask = async (): Promise<string> => (await client.ok('POST', '/tasks', { taskName: '贷前调查' })).taskId;

test('progress: a reconnect with the current id of a waiting task gets the current state at once', async () => {
  const taskId = await newTask();
  const first = await client.progress(taskId);
  const current = await first.next();
  first.close();
  const again = await client.progress(taskId, { lastEventId: current?.id ?? -1 });
  assert.equal(again.status, 200);
  const repeated = await again.next();
  assert.deepEqual(repeated, current);
  await client.ok('POST', `/tasks/${taskId}/outline`, { title: '大纲', rootNode: { nodeId: 'r', title: 'r' } });
  const next = await again.next();
  assert.equal(next?.data.status, 'PENDING_OUTLINE_CONFIRM');
  assert.ok((next?.id ?? 0) > (current?.id ?? 0));
  again.close();
});

test('limits: a package fills the whole body, a task has room for more packages than an outline has nodes', async () => {
  const taskId = await newTask();
  const post = (body: unknown) => client.call('POST', `/tasks/${taskId}/data-packages`, { body });
  const wide = Object.fromEntries(Array.from({ length: 60_000 }, (_, at) => [`键${at}`, at]));
  assert.equal((await post({ knowledgeUnitId: 'ku_wide', autoData: wide })).status, 200);
  const large = await post({ knowledgeUnitId: 'ku_large', autoData: { 文: 'x'.repeat(2_000_000) } });
  assert.equal(large.status, 200, large.text.slice(0, 300));
  const sources = await post({ knowledgeUnitId: 'ku_source', dataSources: { 说明: '源'.repeat(80_000) } });
  assert.equal(sources.status, 200, sources.text.slice(0, 300));
  const refused = await post({ knowledgeUnitId: 'ku_source', dataSources: { 说明: '源'.repeat(90_000) } });
  assert.equal(refused.status, 400);
  assert.match(refused.body.errors[0].message, /数据来源不能超过 256 KiB/);
  const many = await post({ knowledgeUnitId: 'ku_many', autoData: { 列: Array.from({ length: 200_001 }, () => 1) } });
  assert.equal(many.status, 400);
  assert.match(many.body.errors[0].message, /200000 个值/);
  assert.ok(MAX_PACKAGES >= MAX_NODES + 100);
});

test('limits: all lengths count characters, as people do', async () => {
  const taskId = await newTask();
  const face = '😀';
  const outline = (title: string, nodeId: string, chapterNumber: string) =>
    client.call('POST', `/tasks/${taskId}/outline`, {
      body: { title: face.repeat(200), rootNode: { nodeId, title, chapterNumber, knowledgeUnitId: face.repeat(100) } },
    });
  const posted = await outline(face.repeat(200), face.repeat(100), face.repeat(50));
  assert.equal(posted.status, 200, posted.text);
  for (const refused of [
    await outline(face.repeat(201), 'n', '1'),
    await outline('t', face.repeat(101), '1'),
    await outline('t', 'n', face.repeat(51)),
  ]) {
    assert.equal(refused.status, 400);
    assert.match(refused.body.errors[0].message, /不能超过 \d+ 个字符/);
  }
  const { modelConfigId } = await client.ok('POST', '/tasks', { taskName: 'x', modelConfigId: face.repeat(100) });
  assert.equal([...modelConfigId].length, 100);
});

test('null: an optional field that is null is absent, or cleared by an update', async () => {
  const created = await client.ok('POST', '/tasks', {
    taskName: '贷前调查',
    description: null,
    modelConfigId: null,
    parameters: null,
  });
  assert.deepEqual([created.description, created.modelConfigId, created.parameters], ['', null, {}]);
  const { taskId } = created;
  const put = (body: unknown) => client.ok('PUT', `/tasks/${taskId}`, body);
  await put({ description: '说明', modelConfigId: 'm', parameters: { a: 1 } });
  const cleared = await put({ taskName: null, description: null, modelConfigId: null, parameters: null });
  assert.deepEqual(
    [cleared.taskName, cleared.description, cleared.modelConfigId, cleared.parameters],
    ['贷前调查', '', null, {}],
  );
  assert.equal((await client.call('PUT', `/tasks/${taskId}`, { body: { taskName: null } })).status, 400);
  assert.equal((await client.call('POST', '/tasks', { body: { taskName: null } })).status, 400);

  const rootNode = { nodeId: 'r', title: 'r', chapterNumber: null, knowledgeUnitId: null, children: null };
  const outline = await client.ok('POST', `/tasks/${taskId}/outline`, { title: '大纲', type: null, rootNode });
  assert.equal(outline.type, 'LEVEL1');
  await client.ok('POST', `/outline/${outline.outlineId}/confirm`, { confirmerId: 'u', confirmerName: '张三' });
  const nothing = { status: null, autoData: null, manualData: null, dataSources: null };
  const delivered = await client.ok('POST', `/tasks/${taskId}/data-packages`, { knowledgeUnitId: 'ku_1', ...nothing });
  assert.deepEqual(
    [delivered.status, delivered.autoData, delivered.manualData, delivered.dataSources],
    ['READY', {}, '', {}],
  );
  await client.ok('POST', `/data-packages/${delivered.packageId}/confirm`, { confirmerId: null, confirmerName: null });
  const report = await client.ok('POST', `/tasks/${taskId}/reports`, {
    title: '报告',
    format: null,
    outlineId: null,
    metadata: null,
  });
  assert.deepEqual([report.format, report.outlineId, report.metadata], ['PDF', outline.outlineId, {}]);
});

test('messages: a label stands once', async () => {
  const taskId = await newTask();
  const rootNode = { nodeId: 'r', title: 'r' };
  for (const [path, body] of [
    ['outline', { title: '大纲', type: 5, rootNode }],
    ['outline', { title: '大纲', type: 'LEVEL9', rootNode }],
    ['data-packages', { knowledgeUnitId: 'k', status: 5, manualData: 5, autoData: 5, dataSources: [] }],
    ['reports', { title: 5, format: 5, metadata: 5, outlineId: 5 }],
  ] as const) {
    const { status, body: answer } = await client.call('POST', `/tasks/${taskId}/${path}`, { body });
    assert.equal(status, 400);
    for (const { field, message } of answer.errors) {
      assert.doesNotMatch(message, /(\p{Script=Han}{2,})\1/u, message);
      assert.match(message, /^\p{Script=Han}/u, `${field}: ${message}`);
    }
  }
});

const finance = {
  单位: '亿元',
  营业收入: { 2021: 10.5, 2022: 12.5, 2023: 15.5 },
  净利润: { 2021: 1.5, 2022: 2.5, 2023: 3.5 },
};
const tree = {
  nodeId: 'root',
  title: '报告',
  children: [
    {
      nodeId: 'n1',
      title: '财务状况',
      knowledgeUnitId: 'ku_f',
      children: [
        { nodeId: 'n11', title: '收入分析' },
        { nodeId: 'n12', title: '利润分析' },
        { nodeId: 'n13', title: '股东', knowledgeUnitId: 'ku_s' },
        { nodeId: 'n14', title: '担保', knowledgeUnitId: 'ku_none' },
      ],
    },
    { nodeId: 'n2', title: '风险提示' },
    { nodeId: 'n3', title: '结论' },
    { nodeId: 'n4', title: '附记' },
  ],
};

/** The report as Markdown, by heading. */
const written = async (type: string): Promise<Map<string, string>> => {
  const { taskId } = await client.ok('POST', '/tasks', { taskName: '贷前调查', parameters: { enterpriseId: '77' } });
  const { outlineId } = await client.ok('POST', `/tasks/${taskId}/outline`, { title: '大纲', type, rootNode: tree });
  await client.ok('POST', `/outline/${outlineId}/confirm`, { confirmerId: 'u', confirmerName: '张三' });
  await client.confirmedPackage(taskId, 'ku_f', finance);
  await client.confirmedPackage(taskId, 'ku_s', { 控股股东: '甲集团' });
  const { reportId } = await client.ok('POST', `/tasks/${taskId}/reports`, { title: '报告', format: 'MARKDOWN' });
  assert.equal((await (await client.progress(taskId)).until()).at(-1)?.data.status, 'COMPLETED');
  const { text } = await client.call('POST', `/reports/${reportId}/export`);
  const parts = text.split(/^#{2,} /m).slice(1);
  return new Map(parts.map((part) => [(part.split('\n')[0] ?? '').replace(/^[\d.]+ /, ''), part]));
};

const prose = (part: string | undefined): string =>
  (part ?? '')
    .split('\n')
    .slice(1)
    .filter((line) => /。$/.test(line))
    .join('\n');

test('levels: LEVEL1 writes one text per chapter, LEVEL2 one per section, and no sentence comes twice', async () => {
  const [one, two] = [await written('LEVEL1'), await written('LEVEL2')];
  assert.match(
    prose(one.get('财务状况')),
    /营业收入分别为[\s\S]*净利润分别为[\s\S]*控股股东为甲集团[\s\S]*未收到所需的资料：担保/,
  );
  assert.equal(prose(one.get('收入分析')), '“收入分析”的内容见本章正文。');
  assert.equal(prose(one.get('担保')), '“担保”所需的资料未收到，待补充。');
  assert.match(one.get('股东') ?? '', /控股股东 \| 甲集团/);

  assert.equal(prose(two.get('财务状况')), '');
  assert.match(prose(two.get('收入分析')), /营业收入分别为/);
  assert.doesNotMatch(prose(two.get('收入分析')), /净利润[分由]/);
  assert.match(prose(two.get('利润分析')), /净利润分别为/);
  assert.doesNotMatch(prose(two.get('利润分析')), /营业收入[分由]/);
  assert.match(prose(two.get('股东')), /控股股东为甲集团/);
  assert.match(prose(two.get('担保')), /未收到本节所需的资料[\s\S]*企业编号为77/);

  for (const report of [one, two]) {
    assert.equal(prose(report.get('风险提示')), '“风险提示”没有单独的资料，相关内容见“结论”。');
    assert.equal(prose(report.get('附记')), '“附记”没有单独的资料，相关内容见“结论”。');
    assert.match(prose(report.get('结论')), /营业收入/);
    const sections = [...report].filter(([title]) => title !== '结论');
    const lines = sections.flatMap(([, part]) => prose(part).split('\n').filter(Boolean));
    assert.equal(new Set(lines).size, lines.length, lines.join('\n'));
  }
});
