import type { OutlineDraft } from '../catalogue.ts';
import type { StepResult } from '../service/task-state.ts';
import { outlineFromDraft } from '../writing/draft.ts';
import { factLines, labelled } from '../writing/task-facts.ts';
import { type StepContext, taskOf } from './context.ts';

/** Drafts an outline and stores it under the run's own id, so that a repeated step stores it once. */
export async function draftOutline(context: StepContext): Promise<Extract<StepResult, { step: 'outline' }>> {
  const { run, parts } = context;
  const task = await taskOf(context);
  const { reportType } = task.parameters;
  const { draft } = await run.node<{ draft: OutlineDraft }>('outline', {
    type: 'report.outline',
    config: task.modelConfigId ? { model: task.modelConfigId } : {},
    input: {
      language: 'zh',
      taskName: task.taskName,
      description: task.description,
      taskFacts: factLines(labelled(task.parameters, 'zh')),
      units: parts.catalogue.units.map(({ id, title }) => ({ id, title })),
      fallback: parts.catalogue.outlineFor(typeof reportType === 'string' ? reportType : undefined),
    },
  });
  return run.step('store', async () => {
    const { title, type, rootNode } = outlineFromDraft(draft);
    const version = task.outlineVersion + 1;
    const outlines = parts.outlines.in(run.principal);
    if (!(await outlines.get(run.runId))) {
      await outlines.insert({ _id: run.runId, taskId: task._id, title, type, version, rootNode });
    }
    return { step: 'outline', outlineId: run.runId, version };
  });
}
