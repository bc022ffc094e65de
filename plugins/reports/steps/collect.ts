import { isDuplicate } from '../../../core/data/errors.ts';
import type { TaskDocument } from '../models/task.ts';
import { unitsOf } from '../outline.ts';
import { missingUnits, progressOf, STEPS } from '../rules.ts';
import { STATE_EVENT, type StepResult } from '../service/task-state.ts';
import { collectUnit } from '../writing/collect.ts';
import { type StepContext, taskOf } from './context.ts';

/** Delivers a package for every unit of the outline that has none; a package that a client delivers meanwhile is kept. */
export async function collectData(context: StepContext): Promise<Extract<StepResult, { step: 'collect' }>> {
  const { run, parts, states } = context;
  const task = await taskOf(context);
  const packages = parts.packages.in(run.principal);
  const units = await run.step('units', async () => {
    const outline = task.outlineId ? await parts.outlines.in(run.principal).get(task.outlineId) : undefined;
    return missingUnits({
      units: outline ? unitsOf(outline.rootNode) : [],
      packages: await packages.find({ taskId: task._id }, { fields: ['knowledgeUnitId', 'status'] }),
    });
  });
  let [filled, empty] = [0, 0];
  for (const [at, unitId] of units.entries()) {
    run.signal.throwIfAborted();
    const progress = progressOf('collect', at + 1, units.length);
    const unit = parts.catalogue.find(unitId);
    const name = unit?.title ?? unitId;
    const message = {
      zh: `${STEPS.collect.message.zh}（${at + 1}/${units.length}：${name}）`,
      en: `${STEPS.collect.message.en} (${at + 1}/${units.length}: ${name})`,
    };
    const { status, stage } = STEPS.collect;
    const found = await run.step(`collect:${unitId}`, () => deliver(context, task, unitId), {
      events: (fields) => [
        { type: 'data_collected', data: { knowledgeUnitId: unitId, fields } },
        { type: STATE_EVENT, data: { revision: task.revision, status, stage, progress, message } },
      ],
    });
    if (found > 0) filled += 1;
    else empty += 1;
    await states.advance(run.principal, task._id, run.runId, { stage, progress, message });
  }
  return { step: 'collect', filled, empty };
}

/** @returns number of fields found */
async function deliver({ run, parts }: StepContext, task: TaskDocument, unitId: string): Promise<number> {
  const packages = parts.packages.in(run.principal);
  const collected = collectUnit(unitId, parts.catalogue.find(unitId), {
    parameters: task.parameters,
    description: task.description,
    at: new Date(),
  });
  const bytes = Buffer.byteLength(JSON.stringify(collected.autoData)) + Buffer.byteLength(collected.manualData);
  const values = { status: 'READY' as const, ...collected, bytes };
  // Only a failed delivery is replaced: anything else in the place is somebody's data.
  const replaced = await packages.update(
    { taskId: task._id, knowledgeUnitId: unitId, status: 'FAILED' },
    { $set: values },
  );
  if (!replaced) {
    try {
      const nobody = { confirmerId: null, confirmerName: null, confirmTime: null };
      await packages.insert({ taskId: task._id, knowledgeUnitId: unitId, ...values, ...nobody });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
  }
  return Object.keys(collected.autoData).length;
}
