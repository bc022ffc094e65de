import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import { createLogger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import { loadCatalogue } from '../../../plugins/reports/catalogue.ts';
import type { ProgressMessage, ReportService } from '../../../plugins/reports/public.ts';
import { reportRunKind } from '../../../plugins/reports/run.ts';
import { createParts, type ReportParts } from '../../../plugins/reports/service/parts.ts';
import { createStates, type States } from '../../../plugins/reports/service/states.ts';
import { createReportService, recoverTasks } from '../../../plugins/reports/service.ts';
import { createRuns, type NodeExecutor, type Runs } from '../../../runtime/runs/index.ts';
import type { RunService } from '../../../runtime/runs/service.ts';
import { openTestDatabase } from '../../support/database.ts';

// What a crash can leave behind between a task, its run and its log, made by hand and made good.

const closers: (() => Promise<void>)[] = [];
const principal: Principal = { kind: 'user', accountId: 'user-1', tenantId: 'bank-1', roles: ['user'] };
const log = createLogger('silent');

/** Nodes that answer at once, so that only the bookkeeping is under test. */
const executor: NodeExecutor = {
  async run({ type, input }) {
    const { sections = [] } = input as { sections?: { nodeId: string }[] };
    if (type === 'report.material') return { blocks: [], text: '- 项: 值', manual: '' };
    if (type === 'report.render') return { bytes: Buffer.from('%PDF-1.7') };
    const written = sections.map(({ nodeId }) => ({ nodeId, paragraphs: [], unverified: [] }));
    return { sections: written, offline: true, models: ['offline'], tokens: 0 };
  },
};

let runs: Runs;
let parts: ReportParts;
let states: States;
let reports: ReportService;
/** Replaces `runs.start` for one test. */
let startFault: (() => void) | undefined;

before(async () => {
  const database = await openTestDatabase({ after: (close) => void closers.unshift(close) });
  runs = createRuns({ database, executor, log, options: { exclusive: true } });
  closers.unshift(() => runs.close({ timeoutMs: 1000 }));
  const faulty: RunService = Object.create(runs, {
    start: {
      value: (...args: Parameters<RunService['start']>) => {
        startFault?.();
        return runs.start(...args);
      },
    },
  });
  parts = createParts({
    database,
    runs: faulty,
    models: { resolve: () => ({ available: true }) as never },
    catalogue: loadCatalogue(new URL('../../../config/knowledge-units.yaml', import.meta.url)),
    options: { runningPerTenant: 8, chaptersAtOnce: 2, formats: ['PDF'], exportWaitMs: 1000 },
    log,
  });
  states = createStates(parts);
  reports = createReportService(parts, states);
  await database.ready();
  runs.register(reportRunKind(parts, states));
  await runs.recover();
});

after(async () => {
  for (const close of closers) await close();
});

const prepared = async (): Promise<string> => {
  const { taskId } = await reports.createTask(principal, { taskName: '贷前调查报告' });
  const rootNode = { nodeId: 'root', title: 'r', children: [{ nodeId: 'n1', title: '一', knowledgeUnitId: 'ku_001' }] };
  const { outlineId } = await reports.postOutline(principal, taskId, { title: '大纲', rootNode });
  await reports.confirmOutline(principal, outlineId, { confirmerId: 'u', confirmerName: 'n' });
  const { packageId } = await reports.postPackage(principal, taskId, {
    knowledgeUnitId: 'ku_001',
    autoData: { 项: 1 },
  });
  await reports.confirmPackage(principal, packageId, {});
  return taskId;
};

const watch = async (taskId: string, lastEventId?: number): Promise<ProgressMessage[]> => {
  const source = await reports.progress(principal, taskId, {
    language: 'zh',
    signal: AbortSignal.timeout(10_000),
    ...(lastEventId !== undefined && { lastEventId }),
  });
  const messages: ProgressMessage[] = [];
  for await (const message of source ?? []) messages.push(message);
  return messages;
};

const statesOf = async (taskId: string) =>
  (await runs.events(principal, taskId, 0, 1000))
    .filter(({ type }) => type === 'state')
    .map(({ data }) => String(data.status));

test('recovery: a task whose run was never started gets it', async () => {
  const taskId = await prepared();
  const [runId, reportId] = [randomUUID(), randomUUID()];
  const { outlineId } = await states.get(principal, taskId);
  await parts.reports.in(principal).insert({
    _id: reportId,
    taskId,
    outlineId: outlineId ?? '',
    title: '报告',
    format: 'PDF',
    status: 'GENERATING',
    progress: 0,
    metadata: {},
    runId,
    documentId: null,
    fileSize: null,
    errorMessage: null,
    finishTime: null,
  });
  await states.transition(principal, taskId, () => ({
    status: 'GENERATING',
    stage: 'report_generate',
    progress: 40,
    step: { name: 'report', runId, reportId },
  }));
  await recoverTasks(parts, states);
  await recoverTasks(parts, states);
  assert.equal((await watch(taskId)).at(-1)?.data.status, 'COMPLETED');
  const { reports: written } = await reports.getTask(principal, taskId);
  assert.deepEqual(
    written.map((each) => [each.reportId, each.status, each.fileSize]),
    [[reportId, 'COMPLETED', 8]],
  );
  await recoverTasks(parts, states);
  assert.equal((await statesOf(taskId)).filter((status) => status === 'COMPLETED').length, 1);
});

test('recovery: the end of a run that the task missed is taken over', async () => {
  const taskId = await prepared();
  await reports.createReport(principal, taskId, { title: '报告' });
  const before = await states.get(principal, taskId);
  await watch(taskId);
  // As if the process had died before the end was written to the task.
  const { status, stage, progress, step, message } = before;
  await parts.tasks
    .in(principal)
    .update(
      { _id: taskId },
      { $set: { status, stage, progress, step, message, finishTime: null }, $inc: { revision: 1 } },
    );
  await recoverTasks(parts, states);
  const task = await reports.getTask(principal, taskId);
  assert.deepEqual([task.status, task.progress], ['COMPLETED', 100]);
});

test('recovery: a report that no task took up is removed', async () => {
  const taskId = await prepared();
  const { outlineId } = await states.get(principal, taskId);
  const orphan = {
    taskId,
    outlineId: outlineId ?? '',
    title: 'x',
    format: 'PDF' as const,
    status: 'GENERATING' as const,
  };
  const rest = {
    progress: 0,
    metadata: {},
    runId: randomUUID(),
    documentId: null,
    fileSize: null,
    errorMessage: null,
    finishTime: null,
  };
  await parts.reports.in(principal).insert({ ...orphan, ...rest });
  await recoverTasks(parts, states);
  assert.deepEqual((await reports.getTask(principal, taskId)).reports, []);
});

test('recovery: a state whose event was lost is shown to the next who watches, once', async () => {
  const taskId = await prepared();
  await states.transition(principal, taskId, () => ({
    status: 'CANCELLED',
    message: { zh: '任务已取消', en: 'cancelled' },
  }));
  assert.equal((await statesOf(taskId)).at(-1), 'PENDING_DATA');
  const shown = await watch(taskId);
  assert.deepEqual(
    shown.map(({ data }) => data.status),
    ['CANCELLED'],
  );
  await watch(taskId);
  assert.deepEqual(
    (await statesOf(taskId)).filter((status) => status === 'CANCELLED'),
    ['CANCELLED'],
  );
});

test('recovery: a run that is taken up for a cancelled task ends without touching it', async () => {
  const taskId = await prepared();
  const { reportId } = await reports.createReport(principal, taskId, { title: '报告' });
  await watch(taskId);
  await parts.tasks
    .in(principal)
    .update({ _id: taskId }, { $set: { status: 'CANCELLED', step: null }, $inc: { revision: 1 } });
  await parts.reports.in(principal).update({ _id: reportId }, { $set: { status: 'GENERATING' } });
  const { runId } = (await parts.reports.in(principal).get(reportId)) ?? { runId: '' };
  const again = await runs.start(principal, 'report', { step: 'report', taskId, reportId }, { logId: taskId });
  assert.equal((await runs.ended(principal, again.id)).status, 'failed');
  await states.settle(principal, runId, { step: 'report', taskId, reportId }, { status: 'cancelled', reason: 'test' });
  const task = await reports.getTask(principal, taskId);
  assert.deepEqual([task.status, task.reports[0]?.status], ['CANCELLED', 'CANCELLED']);
  assert.equal((await watch(taskId)).at(-1)?.data.status, 'CANCELLED');
});

test('start: when the run is refused, task and report are as before', async () => {
  const taskId = await prepared();
  const before = await reports.getTask(principal, taskId);
  startFault = () => {
    throw new AppError('unavailable', 'SHUTTING_DOWN', { zh: '服务器正在关闭', en: 'Shutting down' });
  };
  try {
    await assert.rejects(reports.createReport(principal, taskId, { title: '报告' }), { code: 'SHUTTING_DOWN' });
    await assert.rejects(reports.start(principal, taskId), { code: 'SHUTTING_DOWN' });
  } finally {
    startFault = undefined;
  }
  const now = await reports.getTask(principal, taskId);
  assert.deepEqual({ ...now, updateTime: before.updateTime }, before);
  await reports.start(principal, taskId);
  assert.equal((await watch(taskId)).at(-1)?.data.status, 'COMPLETED');
});

test('progress: repeated and overtaken states in the log are shown to nobody', async () => {
  const taskId = await prepared();
  const task = await states.get(principal, taskId);
  const state = (revision: number, progress: number, status = 'PENDING_DATA') => ({
    type: 'state',
    data: { revision, status, stage: 'data_collect', progress, message: { zh: `${revision}/${progress}`, en: '' } },
  });
  const first = await runs.lastEvent(principal, taskId);
  const { revision } = task;
  await runs.append(principal, taskId, [
    state(revision + 2, 40, 'GENERATING'),
    state(revision + 2, 60, 'GENERATING'),
    state(revision + 2, 50, 'GENERATING'),
    state(revision + 1, 25),
    state(revision + 2, 60, 'GENERATING'),
    state(revision + 3, 60, 'CANCELLED'),
    state(revision + 3, 60, 'CANCELLED'),
  ]);
  await parts.tasks.in(principal).update({ _id: taskId }, { $set: { status: 'CANCELLED' }, $inc: { revision: 3 } });
  const shown = await watch(taskId, first?.seq ?? 0);
  assert.deepEqual(
    shown.map(({ data }) => data.progress),
    [40, 60, 60],
  );
  assert.equal(shown.at(-1)?.data.status, 'CANCELLED');
  const end = shown.at(-1)?.id ?? 0;
  assert.deepEqual(await watch(taskId, end), []);
  assert.deepEqual(await watch(taskId, end + 1), []);
});
