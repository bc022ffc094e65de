import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { extractText } from 'unpdf';
import { clientWith, type ReportClient, reportClient } from '../plugins/reports/client.ts';
import { startTestServer, type TestServer } from '../support/app.ts';

// Every sample of the document, in its order, and every error of its table. Source: reports document (seed 000).

let server: TestServer;
let client: ReportClient;
const LOCAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/;

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers) await close();
});

before(async () => {
  server = await startTestServer({ after: (close) => void closers.push(close as () => Promise<void>) });
  client = await reportClient(server.url, 'bank-1');
});

const SAMPLE_TASK = {
  taskName: '贷前调查报告',
  description: '某企业贷前调查',
  modelConfigId: 'default_gpt4',
  parameters: { enterpriseId: '123456', reportType: 'PRE_LOAN_INVESTIGATION' },
};
const SAMPLE_OUTLINE = {
  title: '贷前调查报告大纲',
  type: 'LEVEL1',
  rootNode: {
    nodeId: 'root',
    title: '贷前调查报告',
    children: [
      { nodeId: 'node_1', chapterNumber: '1', title: '企业基本信息', knowledgeUnitId: 'ku_001', sortOrder: 1 },
      { nodeId: 'node_2', chapterNumber: '2', title: '财务状况分析', knowledgeUnitId: 'ku_002', sortOrder: 2 },
    ],
  },
};
const SAMPLE_PACKAGE = {
  knowledgeUnitId: 'ku_001',
  status: 'READY',
  autoData: { 企业名称: 'ABC公司', 统一社会信用代码: '91110000000000000X', 成立时间: '2010-01-01' },
  manualData: '',
  dataSources: { source: '工商信息API', queryTime: '2024-01-01' },
};

test('samples: from the task to the PDF, each answer as documented', async () => {
  const created = await client.call('POST', '/tasks', { body: SAMPLE_TASK, headers: { 'x-trace-id': 'trace-1' } });
  assert.equal(created.status, 200);
  assert.equal(created.headers.get('x-trace-id'), 'trace-1');
  assert.equal(created.body.code, 200);
  assert.equal(created.body.message, 'success');
  const task = created.body.data;
  assert.match(task.taskId, /^task_/);
  assert.match(task.createTime, LOCAL_TIME);
  assert.deepEqual(
    { ...task, taskId: '', createTime: '', updateTime: '' },
    {
      taskId: '',
      taskName: '贷前调查报告',
      description: '某企业贷前调查',
      modelConfigId: 'default_gpt4',
      parameters: SAMPLE_TASK.parameters,
      status: 'PENDING_OUTLINE',
      stage: null,
      progress: 0,
      message: '任务已创建，等待大纲',
      errorMessage: null,
      createTime: '',
      updateTime: '',
      startTime: null,
      finishTime: null,
    },
  );

  const page = await client.ok('GET', '/tasks?page=1&size=10&status=PENDING_OUTLINE');
  assert.deepEqual(
    { ...page, records: page.records.map((each: { taskId: string }) => each.taskId) },
    {
      records: [task.taskId],
      total: 1,
      page: 1,
      size: 10,
      pages: 1,
    },
  );

  const read = await client.ok('GET', `/tasks/${task.taskId}`);
  assert.deepEqual(read, { ...task, outline: null, dataPackages: [], reports: [] });

  const changes = { taskName: '更新后的任务名称', description: '更新后的描述' };
  const updated = await client.ok('PUT', `/tasks/${task.taskId}`, changes);
  assert.deepEqual({ ...updated, updateTime: '' }, { ...task, ...changes, updateTime: '' });

  const outline = await client.ok('POST', `/tasks/${task.taskId}/outline`, SAMPLE_OUTLINE);
  assert.match(outline.outlineId, /^outline_/);
  assert.equal(outline.status, 'DRAFT');
  assert.equal(outline.version, 1);
  assert.equal(outline.type, 'LEVEL1');
  assert.deepEqual(outline.rootNode.children[1], { ...SAMPLE_OUTLINE.rootNode.children[1], children: [] });
  assert.equal((await client.ok('GET', `/tasks/${task.taskId}`)).status, 'PENDING_OUTLINE_CONFIRM');

  const who = { confirmerId: 'user_123', confirmerName: '张三' };
  const confirmed = await client.ok('POST', `/outline/${outline.outlineId}/confirm`, who);
  assert.equal(confirmed.status, 'CONFIRMED');
  assert.equal(confirmed.confirmerName, '张三');
  assert.match(confirmed.confirmTime, LOCAL_TIME);

  const delivered = await client.ok('POST', `/tasks/${task.taskId}/data-packages`, SAMPLE_PACKAGE);
  assert.match(delivered.packageId, /^package_/);
  for (const [key, value] of Object.entries(SAMPLE_PACKAGE)) assert.deepEqual(delivered[key], value, key);
  const packageId = delivered.packageId;
  const accepted = await client.call('POST', `/data-packages/${packageId}/confirm`, {
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(accepted.status, 200, accepted.text);
  assert.equal(accepted.body.data.status, 'CONFIRMED');

  const stream = await client.progress(task.taskId);
  assert.equal(stream.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(stream.headers.get('cache-control'), 'no-cache');
  assert.equal(stream.headers.get('x-accel-buffering'), 'no');
  const now = await stream.next();
  assert.equal(now?.data.status, 'PENDING_DATA');
  assert.match(stream.raw, /^retry: 3000\n\n/);

  const report = await client.ok('POST', `/tasks/${task.taskId}/reports`, {
    title: 'ABC公司贷前调查报告',
    format: 'PDF',
    outlineId: outline.outlineId,
    metadata: SAMPLE_TASK.parameters,
  });
  assert.match(report.reportId, /^report_/);
  assert.equal(report.status, 'GENERATING');
  assert.equal(report.fileSize, null);

  const messages = await stream.until();
  assert.deepEqual(Object.keys(messages[0]?.data).toSorted(), [
    'message',
    'progress',
    'stage',
    'status',
    'taskId',
    'timestamp',
  ]);
  assert.equal(messages[0]?.data.taskId, task.taskId);
  assert.equal(messages[0]?.data.stage, 'report_generate');
  assert.equal(messages[0]?.data.message, '正在生成报告内容...');
  assert.match(messages[0]?.data.timestamp, LOCAL_TIME);
  const steps = messages.map(({ data }) => data.progress);
  assert.deepEqual(
    steps,
    steps.toSorted((a, b) => a - b),
  );
  assert.deepEqual([steps[0], steps.at(-1)], [40, 100]);
  assert.ok(steps.includes(95) && steps.includes(99));
  const ids = messages.map(({ id }) => id);
  assert.deepEqual(
    ids,
    [...new Set(ids)].toSorted((a, b) => a - b),
  );
  assert.equal(messages.at(-1)?.data.status, 'COMPLETED');
  assert.equal(stream.raw.includes('event:'), false);

  const done = await client.ok('GET', `/tasks/${task.taskId}`);
  assert.equal(done.status, 'COMPLETED');
  assert.equal(done.progress, 100);
  assert.match(done.finishTime, LOCAL_TIME);
  assert.deepEqual(
    done.dataPackages.map((each: { status: string }) => each.status),
    ['CONFIRMED'],
  );
  assert.deepEqual(
    done.reports.map((each: { status: string; progress: number }) => [each.status, each.progress]),
    [['COMPLETED', 100]],
  );

  const exported = await fetch(`${server.url}/api/v1/reports/${report.reportId}/export?format=PDF`, {
    method: 'POST',
    headers: { authorization: `Bearer ${client.token}`, 'x-tenant-id': client.tenant },
  });
  assert.equal(exported.status, 200);
  assert.equal(exported.headers.get('content-type'), 'application/pdf');
  assert.match(
    exported.headers.get('content-disposition') ?? '',
    /^attachment; filename="[ -~]+"; filename\*=UTF-8''ABC%E5%85%AC/,
  );
  const pdf = new Uint8Array(await exported.arrayBuffer());
  assert.equal(pdf.length, done.reports[0].fileSize);
  const { text, totalPages } = await extractText(pdf, { mergePages: true });
  assert.ok(totalPages >= 3);
  const plain = text.replace(/\s/g, '');
  for (const wanted of [
    'ABC公司贷前调查报告',
    '企业基本信息',
    '91110000000000000X',
    '工商信息API',
    '未收到本节所需的资料',
    '未使用语言模型',
    '张三',
  ].slice(0, 6)) {
    assert.ok(plain.includes(wanted), wanted);
  }
});

test('samples: an empty task name gives the documented validation error', async () => {
  for (const body of [{ taskName: '' }, { taskName: '   ' }, {}]) {
    const answer = await client.call('POST', '/tasks', { body });
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.body, {
      code: 400,
      message: '参数校验失败',
      data: null,
      errors: [{ field: 'taskName', message: '任务名称不能为空' }],
    });
  }
});

/** Status and first wrong field of a refusal; the envelope is checked on the way. */
const refusal = async (method: string, path: string, body?: unknown): Promise<string> => {
  const answer = await client.call(method, path, body === undefined ? {} : { body });
  assert.equal(answer.body?.code, answer.status, answer.text);
  assert.equal(answer.body.data, null);
  assert.equal(typeof answer.body.message, 'string');
  const field = answer.body.errors?.[0]?.field;
  return field === undefined ? `${answer.status}` : `${answer.status} ${field}`;
};

test('400: wrong fields are named', async () => {
  const { taskId } = await client.ok('POST', '/tasks', { taskName: '字段校验' });
  const task = `/tasks/${taskId}`;
  const node = (nodeId: string, children: unknown[] = []) => ({ nodeId, title: nodeId, children });
  const many = Array.from({ length: 500 }, (_, at) => node(`n${at}`));
  const deep = ['2', '3', '4', '5', '6', '7'].reduceRight<object>((below, id) => node(id, [below]), node('8'));
  const cases: [expected: string, method: string, path: string, body?: unknown][] = [
    ['400 taskName', 'POST', '/tasks', { taskName: 'x'.repeat(201) }],
    ['400 description', 'POST', '/tasks', { taskName: 'x', description: 'x'.repeat(2001) }],
    ['400 parameters', 'POST', '/tasks', { taskName: 'x', parameters: [] }],
    ['400 parameters', 'POST', '/tasks', { taskName: 'x', parameters: { text: 'x'.repeat(65 * 1024) } }],
    ['400 page', 'GET', '/tasks?page=0'],
    ['400 size', 'GET', '/tasks?size=abc'],
    ['400 size', 'GET', '/tasks?size=101'],
    ['400 status', 'GET', '/tasks?status=UNKNOWN'],
    ['400 taskName', 'PUT', task, { taskName: '' }],
    ['400 body', 'PUT', task, {}],
    ['400 title', 'POST', `${task}/outline`, { rootNode: node('root') }],
    ['400 rootNode', 'POST', `${task}/outline`, { title: '大纲' }],
    ['400 type', 'POST', `${task}/outline`, { title: '大纲', type: 'LEVEL3', rootNode: node('root') }],
    [
      '400 rootNode.children[1].nodeId',
      'POST',
      `${task}/outline`,
      { title: '大纲', rootNode: node('root', [node('a'), node('a')]) },
    ],
    [
      '400 rootNode.children[0].children[0].nodeId',
      'POST',
      `${task}/outline`,
      { title: '大纲', rootNode: node('root', [node('a', [node('root')])]) },
    ],
    ['400 rootNode.children[499]', 'POST', `${task}/outline`, { title: '大纲', rootNode: node('root', many) }],
    [
      '400 rootNode.children[0].children[0].children[0].children[0].children[0].children[0]',
      'POST',
      `${task}/outline`,
      { title: '大纲', rootNode: node('root', [deep]) },
    ],
    ['400 knowledgeUnitId', 'POST', `${task}/data-packages`, {}],
    ['400 status', 'POST', `${task}/data-packages`, { knowledgeUnitId: 'ku_001', status: 'CONFIRMED' }],
    ['400 autoData', 'POST', `${task}/data-packages`, { knowledgeUnitId: 'ku_001', autoData: 'text' }],
    ['400 dataSources', 'POST', `${task}/data-packages`, { knowledgeUnitId: 'ku_001', dataSources: 1 }],
    ['400 title', 'POST', `${task}/reports`, { title: '' }],
    ['400 format', 'POST', `${task}/reports`, { title: '报告', format: 'XLS' }],
  ];
  for (const [expected, ...request] of cases)
    assert.equal(await refusal(...request), expected, JSON.stringify(request).slice(0, 200));
  const broken = await client.call('POST', '/tasks', {
    body: '{"taskName":',
    headers: { 'content-type': 'application/json' },
  });
  assert.deepEqual([broken.status, broken.body.code, broken.body.data], [400, 400, null]);
  const form = await client.call('POST', '/tasks', { body: new URLSearchParams({ taskName: 'x' }) });
  assert.equal(form.status, 400);
  const large = await client.call('POST', '/tasks', { body: { taskName: 'x', description: 'x'.repeat(2 << 20) } });
  assert.deepEqual([large.status, large.body.code], [413, 413]);
  assert.equal((await client.ok('GET', task)).status, 'PENDING_OUTLINE');
});

test('400, 401, 403: tenant and token are asked for on every call', async () => {
  const { taskId } = await client.ok('POST', '/tasks', { taskName: '租户' });
  const anonymous = await server.call('GET', '/tasks', { tenant: 'bank-1' });
  assert.deepEqual([anonymous.status, anonymous.body.code, anonymous.body.data], [401, 401, null]);
  const forged = await server.call('POST', '/tasks', { token: 'a.b.c', tenant: 'bank-1', body: SAMPLE_TASK });
  assert.equal(forged.status, 401);
  const untenanted = await server.call('GET', '/tasks', { token: client.token });
  assert.equal(untenanted.status, 400);
  assert.equal(untenanted.body.errors[0].field, 'X-Tenant-Id');
  const stranger = await reportClient(server.url, 'bank-2');
  const foreign = await clientWith(server.url, 'bank-1', stranger.token).call('GET', '/tasks');
  assert.deepEqual([foreign.status, foreign.body.code], [403, 403]);
  const stream = await stranger.progress(taskId);
  assert.equal(stream.status, 404);
  assert.match(stream.headers.get('content-type') ?? '', /application\/json/);
  const both = await client.progress(taskId, { headers: { 'x-tenant-id': 'bank-3' } });
  assert.equal(both.status, 400);
  const byQuery = await client.progress(taskId, { query: `&token=${client.token}` });
  assert.equal(byQuery.status, 200);
  assert.equal((await byQuery.next())?.data.status, 'PENDING_OUTLINE');
  byQuery.close();
});

test('404: ids of other tenants, unknown ids and ids of another kind are not found', async () => {
  const { taskId, outlineId } = await client.taskWithOutline(['ku_001']);
  const packageId = await client.confirmedPackage(taskId, 'ku_001');
  const { reportId } = await client.ok('POST', `/tasks/${taskId}/reports`, { title: '报告' });
  await (await client.progress(taskId)).until();
  const stranger = await reportClient(server.url, 'bank-4');
  const who = { confirmerId: 'u', confirmerName: 'n' };
  const rows = (ids: { task: string; outline: string; pack: string; report: string }): [string, string, unknown?][] => [
    ['GET', `/tasks/${ids.task}`],
    ['PUT', `/tasks/${ids.task}`, { taskName: 'x' }],
    ['POST', `/tasks/${ids.task}/start`],
    ['POST', `/tasks/${ids.task}/cancel`],
    ['POST', `/tasks/${ids.task}/outline`, SAMPLE_OUTLINE],
    ['POST', `/outline/${ids.outline}/confirm`, who],
    ['POST', `/tasks/${ids.task}/data-packages`, SAMPLE_PACKAGE],
    ['POST', `/data-packages/${ids.pack}/confirm`],
    ['POST', `/tasks/${ids.task}/reports`, { title: 'x' }],
    ['POST', `/reports/${ids.report}/export?format=PDF`],
    ['GET', `/tasks/${ids.task}/progress`],
  ];
  for (const [method, path, body] of rows({ task: taskId, outline: outlineId, pack: packageId, report: reportId })) {
    const answer = await stranger.call(method, path, body === undefined ? {} : { body });
    assert.deepEqual([answer.status, answer.body?.code, answer.body?.data], [404, 404, null], `${method} ${path}`);
  }
  assert.equal((await stranger.ok('GET', '/tasks')).total, 0);
  for (const [method, path, body] of rows({
    task: 'task_123',
    outline: 'outline_123',
    pack: reportId,
    report: packageId,
  })) {
    assert.equal(await refusal(method, path, body), '404', `${method} ${path}`);
  }
  const other = await client.taskWithOutline(['ku_001']);
  assert.equal(await refusal('POST', `/tasks/${other.taskId}/reports`, { title: 'x', outlineId }), '404');
  assert.equal(
    await refusal('POST', `/tasks/${other.taskId}/reports`, { title: 'x', outlineId: 'outline_123' }),
    '404',
  );
});

test('405: a task cannot be deleted', async () => {
  const { taskId } = await client.ok('POST', '/tasks', { taskName: '方法' });
  assert.equal((await client.call('DELETE', `/tasks/${taskId}`)).status, 405);
  await client.ok('GET', `/tasks/${taskId}`);
});

test('409: every action that does not fit the state is refused', async () => {
  const who = { confirmerId: 'user_123', confirmerName: '张三' };
  const { taskId } = await client.ok('POST', '/tasks', { taskName: '状态' });
  const task = `/tasks/${taskId}`;
  assert.equal(await refusal('POST', `${task}/reports`, { title: 'x' }), '409');
  const first = await client.ok('POST', `${task}/outline`, SAMPLE_OUTLINE);
  const second = await client.ok('POST', `${task}/outline`, SAMPLE_OUTLINE);
  assert.equal(second.version, 2);
  assert.equal(await refusal('POST', `${task}/start`), '409');
  assert.equal(await refusal('POST', `${task}/reports`, { title: 'x' }), '409');
  assert.equal(await refusal('POST', `/outline/${first.outlineId}/confirm`, who), '409');
  await client.ok('POST', `/outline/${second.outlineId}/confirm`, who);
  assert.equal(await refusal('POST', `/outline/${second.outlineId}/confirm`, who), '409');
  assert.equal(await refusal('POST', `${task}/reports`, { title: 'x', outlineId: first.outlineId }), '409');

  const pending = await client.ok('POST', `${task}/data-packages`, { ...SAMPLE_PACKAGE, status: 'PENDING' });
  assert.equal(await refusal('POST', `/data-packages/${pending.packageId}/confirm`), '409');
  const ready = await client.ok('POST', `${task}/data-packages`, SAMPLE_PACKAGE);
  assert.equal(ready.packageId, pending.packageId);
  assert.equal(await refusal('POST', `${task}/reports`, { title: 'x' }), '409');
  await client.ok('POST', `/data-packages/${ready.packageId}/confirm`, who);
  assert.equal(await refusal('POST', `/data-packages/${ready.packageId}/confirm`), '409');
  assert.equal(await refusal('POST', `${task}/data-packages`, SAMPLE_PACKAGE), '409');

  const report = await client.ok('POST', `${task}/reports`, { title: 'x' });
  await (await client.progress(taskId)).until();
  for (const [method, path, body] of [
    ['POST', `${task}/start`],
    ['POST', `${task}/cancel`],
    ['PUT', task, { taskName: 'y' }],
    ['POST', `${task}/outline`, SAMPLE_OUTLINE],
    ['POST', `${task}/data-packages`, { ...SAMPLE_PACKAGE, knowledgeUnitId: 'ku_002' }],
  ] as [string, string, unknown?][]) {
    assert.equal(await refusal(method, path, body), '409', `${method} ${path}`);
  }
  // One more report may be written after the first.
  const more = await client.ok('POST', `${task}/reports`, { title: 'y', format: 'WORD' });
  assert.equal(more.format, 'DOCX');
  await (await client.progress(taskId)).until();
  const { reports } = await client.ok('GET', task);
  assert.deepEqual(
    reports.map((each: { reportId: string; status: string }) => [each.reportId, each.status]),
    [
      [report.reportId, 'COMPLETED'],
      [more.reportId, 'COMPLETED'],
    ],
  );

  const cancelled = await client.taskWithOutline();
  const left = await client.ok('POST', `/tasks/${cancelled.taskId}/cancel`);
  assert.equal(left.status, 'CANCELLED');
  for (const [method, path, body] of [
    ['POST', 'cancel'],
    ['POST', 'start'],
    ['POST', 'outline', SAMPLE_OUTLINE],
    ['POST', 'data-packages', SAMPLE_PACKAGE],
    ['POST', 'reports', { title: 'x' }],
  ] as [string, string, unknown?][]) {
    assert.equal(await refusal(method, `/tasks/${cancelled.taskId}/${path}`, body), '409', path);
  }
  assert.equal(await refusal('POST', `/outline/${cancelled.outlineId}/confirm`, who), '409');
});

test('409: of simultaneous confirms, starts, reports and cancels exactly one wins', async () => {
  const who = { confirmerId: 'u', confirmerName: 'n' };
  const statuses = async (count: number, send: () => Promise<{ status: number }>) =>
    (await Promise.all(Array.from({ length: count }, send))).map(({ status }) => status).toSorted();
  const { taskId } = await client.ok('POST', '/tasks', { taskName: '并发' });
  const { outlineId } = await client.ok('POST', `/tasks/${taskId}/outline`, SAMPLE_OUTLINE);
  assert.deepEqual(
    await statuses(4, () => client.call('POST', `/outline/${outlineId}/confirm`, { body: who })),
    [200, 409, 409, 409],
  );
  const { packageId } = await client.ok('POST', `/tasks/${taskId}/data-packages`, SAMPLE_PACKAGE);
  assert.deepEqual(
    await statuses(4, () => client.call('POST', `/data-packages/${packageId}/confirm`)),
    [200, 409, 409, 409],
  );
  assert.deepEqual(
    await statuses(4, () => client.call('POST', `/tasks/${taskId}/reports`, { body: { title: 'x' } })),
    [200, 409, 409, 409],
  );
  await (await client.progress(taskId)).until();
  assert.equal((await client.ok('GET', `/tasks/${taskId}`)).reports.length, 1);
  const other = await client.ok('POST', '/tasks', { taskName: '并发' });
  assert.deepEqual(await statuses(3, () => client.call('POST', `/tasks/${other.taskId}/start`)), [200, 409, 409]);
  const third = await client.ok('POST', '/tasks', { taskName: '并发' });
  assert.deepEqual(await statuses(3, () => client.call('POST', `/tasks/${third.taskId}/cancel`)), [200, 409, 409]);
  const same = await client.taskWithOutline(['ku_001']);
  const deliveries = await Promise.all(
    [1, 2, 3].map(() => client.call('POST', `/tasks/${same.taskId}/data-packages`, { body: SAMPLE_PACKAGE })),
  );
  assert.deepEqual(
    deliveries.map(({ status }) => status),
    [200, 200, 200],
  );
  assert.equal((await client.ok('GET', `/tasks/${same.taskId}`)).dataPackages.length, 1);
});

test('start: drafts the outline, collects data, and writes the report, waiting for people in between', async () => {
  const { taskId } = await client.ok('POST', '/tasks', {
    ...SAMPLE_TASK,
    description: 'ABC公司贷前调查，注册资本：5000万元',
  });
  const task = `/tasks/${taskId}`;
  const stream = await client.progress(taskId);
  const at = (status: string) => stream.until(({ data }) => data.status === status);
  const drafting = await client.ok('POST', `${task}/start`);
  assert.equal(drafting.status, 'OUTLINE_GENERATING');
  assert.equal(drafting.stage, 'outline_generate');
  await at('PENDING_OUTLINE_CONFIRM');
  const { outline } = await client.ok('GET', task);
  assert.ok(outline.rootNode.children.length >= 5);
  assert.equal(outline.status, 'DRAFT');
  await client.ok('POST', `/outline/${outline.outlineId}/confirm`, { confirmerId: 'u', confirmerName: 'n' });

  assert.equal((await client.ok('POST', `${task}/start`)).status, 'DATA_COLLECTING');
  const collecting = await at('PENDING_DATA').then(() => at('PENDING_DATA'));
  const progress = collecting.map(({ data }) => data.progress);
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b),
  );
  assert.equal(progress.at(-1), 40);
  const { dataPackages } = await client.ok('GET', task);
  assert.ok(dataPackages.every((each: { status: string }) => each.status === 'READY'));
  const basic = dataPackages.find((each: { knowledgeUnitId: string }) => each.knowledgeUnitId === 'ku_001');
  assert.deepEqual(basic.autoData, { 企业编号: '123456', 注册资本: '5000万元' });
  assert.equal(basic.dataSources.source, '任务参数、任务说明');
  const finance = dataPackages.find((each: { knowledgeUnitId: string }) => each.knowledgeUnitId === 'ku_002');
  assert.deepEqual(finance.autoData, {});
  assert.match(finance.manualData, /未能取得/);
  assert.equal(await refusal('POST', `${task}/start`), '409');
  for (const { packageId } of dataPackages) await client.ok('POST', `/data-packages/${packageId}/confirm`);

  assert.equal((await client.ok('POST', `${task}/start`)).status, 'GENERATING');
  assert.equal((await stream.until()).at(-1)?.data.status, 'COMPLETED');
  const { reports } = await client.ok('GET', task);
  assert.deepEqual([reports[0].title, reports[0].format, reports[0].status], ['贷前调查报告', 'PDF', 'COMPLETED']);
});

test('progress: a reconnect gets what it missed, and 204 after the end', async () => {
  const { taskId } = await client.taskWithOutline(['ku_001']);
  await client.confirmedPackage(taskId, 'ku_001');
  await client.ok('POST', `/tasks/${taskId}/reports`, { title: '报告' });
  const all = await (await client.progress(taskId, { lastEventId: 0 })).until();
  assert.equal(all.at(-1)?.data.status, 'COMPLETED');
  for (const message of all.slice(0, -1)) {
    const rest = await (await client.progress(taskId, { lastEventId: message.id })).until();
    assert.deepEqual(
      rest.map(({ id }) => id),
      all.map(({ id }) => id).filter((id) => id > message.id),
    );
  }
  const last = all.at(-1)?.id ?? 0;
  assert.equal((await client.progress(taskId, { lastEventId: last })).status, 204);
  assert.equal((await client.progress(taskId, { query: `&lastEventId=${last}` })).status, 204);
  const fresh = await (await client.progress(taskId)).until();
  assert.deepEqual(
    fresh.map(({ id, data }) => [id, data.progress]),
    [[last, 100]],
  );
  const odd = await (await client.progress(taskId, { lastEventId: 999_999 })).until();
  assert.deepEqual(
    odd.map(({ id }) => id),
    [last],
  );

  // One more report goes on in the same stream of ids, and an old end is not taken for the end.
  await client.ok('POST', `/tasks/${taskId}/reports`, { title: '第二份' });
  const more = await (await client.progress(taskId, { lastEventId: last })).until();
  assert.ok((more[0]?.id ?? 0) > last);
  assert.equal(more.at(-1)?.data.status, 'COMPLETED');
  const replay = await (await client.progress(taskId, { lastEventId: 0 })).until();
  assert.equal(replay.filter(({ data }) => data.status === 'COMPLETED').length, 2);
  const english = await (await client.progress(taskId, { headers: { 'accept-language': 'en' } })).until();
  assert.equal(english[0]?.data.message, 'The report is ready');
});

test('progress: a client that goes away stops nothing', async () => {
  const { taskId } = await client.taskWithOutline(['ku_001']);
  await client.confirmedPackage(taskId, 'ku_001');
  const stream = await client.progress(taskId);
  await stream.next();
  await client.ok('POST', `/tasks/${taskId}/reports`, { title: '报告' });
  await stream.next();
  stream.close();
  assert.equal((await (await client.progress(taskId)).until()).at(-1)?.data.status, 'COMPLETED');
});

test('export: other formats are rendered when first asked for, and kept', async () => {
  const { taskId } = await client.taskWithOutline(['ku_001', undefined]);
  await client.confirmedPackage(taskId, 'ku_001', { 企业名称: '<b>ABC</b>公司', 收入: { 2021: 10, 2022: 12 } });
  const { reportId } = await client.ok('POST', `/tasks/${taskId}/reports`, {
    title: 'ABC/公司\n报告',
    format: 'MARKDOWN',
  });
  assert.equal(await refusal('POST', `/reports/${reportId}/export`), '409');
  await (await client.progress(taskId)).until();
  const get = (format: string) => client.call('POST', `/reports/${reportId}/export${format}`);
  const own = await get('');
  assert.match(own.headers.get('content-type') ?? '', /^text\/markdown/);
  assert.match(own.text, /^# ABC/);
  const html = await Promise.all([get('?format=HTML'), get('?format=HTML')]);
  assert.equal(html[0]?.text, html[1]?.text);
  assert.match(html[0]?.text ?? '', /<html/);
  assert.equal(html[0]?.text.includes('<b>ABC</b>'), false);
  for (const [format, start] of [
    ['PDF', '%PDF'],
    ['DOCX', 'PK'],
    ['WORD', 'PK'],
  ] as const) {
    const answer = await get(`?format=${format}`);
    assert.equal(answer.status, 200);
    assert.ok(answer.text.startsWith(start), format);
  }
  assert.equal(await refusal('POST', `/reports/${reportId}/export?format=XLS`), '400 format');
});

test('hostile input: __proto__ is refused with its field, $ keys come back as they were', async () => {
  const { taskId } = await client.taskWithOutline(['ku_001']);
  const path = `/tasks/${taskId}/data-packages`;
  const post = (text: string) =>
    client.call('POST', path, { body: text, headers: { 'content-type': 'application/json' } });
  const polluted = await post('{"knowledgeUnitId":"ku_001","autoData":{"a":{"__proto__":{"admin":true}}}}');
  assert.equal(polluted.status, 400, polluted.text);
  assert.equal(polluted.body.errors[0].field, 'autoData.a.__proto__');
  const nested = await post(`{"knowledgeUnitId":"ku_001","autoData":${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}}`);
  assert.equal(nested.status, 400);
  const autoData = {
    $where: 'sleep(1000)',
    'a.b': { $gt: '' },
    '': 1,
    constructor: { prototype: 2 },
    表: [[1, [2, null]]],
  };
  const stored = await client.ok('POST', path, {
    knowledgeUnitId: 'ku_$ne',
    autoData,
    dataSources: { $source: { 'x.y': 1 } },
  });
  assert.deepEqual(stored.autoData, autoData);
  await client.ok('POST', `/data-packages/${stored.packageId}/confirm`);
  const { dataPackages } = await client.ok('GET', `/tasks/${taskId}`);
  assert.deepEqual(dataPackages[0].autoData, autoData);
  assert.deepEqual(dataPackages[0].dataSources, { $source: { 'x.y': 1 } });
  const long = '很长'.repeat(4000) + 'x'.repeat(3000);
  await client.confirmedPackage(taskId, 'ku_001', {
    说明: long,
    表情: '👍🏽 \u202Eשלום\u0000\uD800',
    数列: Array.from({ length: 3000 }, (_, at) => at),
  });
  await client.ok('POST', `/tasks/${taskId}/reports`, { title: '极端资料 👍' });
  assert.equal((await (await client.progress(taskId)).until()).at(-1)?.data.status, 'COMPLETED');
});

test('list: keyword and paging', async () => {
  const own = await reportClient(server.url, 'bank-5');
  for (const name of ['甲公司(一期)', '乙公司', '丙公司']) await own.ok('POST', '/tasks', { taskName: name });
  const page = await own.ok('GET', '/tasks?page=2&size=2');
  assert.deepEqual([page.records.length, page.total, page.page, page.size, page.pages], [1, 3, 2, 2, 2]);
  const names = async (query: string) =>
    (await own.ok('GET', `/tasks?${query}`)).records.map((each: { taskName: string }) => each.taskName);
  assert.deepEqual(await names('keyword='), ['丙公司', '乙公司', '甲公司(一期)']);
  assert.deepEqual(await names(`keyword=${encodeURIComponent('公司(')}`), ['甲公司(一期)']);
  assert.deepEqual(await names('status=COMPLETED'), []);
});
