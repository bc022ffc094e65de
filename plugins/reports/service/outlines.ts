import { randomUUID } from 'node:crypto';
import { OutlineNotFoundError, ReportConflictError } from '../errors.ts';
import type { OutlineDocument } from '../models/outline.ts';
import { parseOutline } from '../outline.ts';
import type { ReportService } from '../public.ts';
import { assertAllowed, REACHED } from '../rules.ts';
import type { ReportParts } from './parts.ts';
import type { States } from './states.ts';
import { outlineView } from './views.ts';

type Outlines = Pick<ReportService, 'postOutline' | 'confirmOutline'>;

/** Outlines are stored once and never changed: the task says which one counts and whether it is confirmed. */
export function createOutlines(parts: ReportParts, states: States): Outlines {
  const { outlines, runs } = parts;

  return {
    async postOutline(principal, taskId, { title, type = 'LEVEL1', rootNode }) {
      const root = parseOutline(rootNode);
      const outlineId = randomUUID();
      let outline: OutlineDocument | undefined;
      let drafting: string | undefined;
      try {
        const task = await states.transition(principal, taskId, async (current) => {
          assertAllowed('postOutline', current.status);
          const version = current.outlineVersion + 1;
          // The task must never point at an outline that is not there, so the outline comes first.
          if (!outline)
            outline = await outlines
              .in(principal)
              .insert({ _id: outlineId, taskId, title, type, version, rootNode: root });
          else if (outline.version !== version) {
            outline = (await outlines.in(principal).update({ _id: outlineId }, { $set: { version } })) ?? outline;
          }
          drafting = current.step?.runId;
          return {
            status: 'PENDING_OUTLINE_CONFIRM',
            stage: 'outline_generate',
            progress: REACHED.outlinePosted,
            message: { zh: '大纲已提交，等待确认', en: 'The outline is posted and waits for confirmation' },
            errorMessage: null,
            failedStep: null,
            step: null,
            outlineId,
            outlineVersion: version,
            confirmation: null,
            finishTime: null,
          };
        });
        if (drafting !== undefined) await runs.cancel(principal, drafting, 'an outline was posted');
        await states.announce(principal, task);
        if (!outline) throw new OutlineNotFoundError(outlineId);
        return outlineView(outline, task);
      } catch (error) {
        const current = await parts.tasks.in(principal).findOne({ _id: taskId, outlineId });
        if (outline && !current) await outlines.in(principal).delete({ _id: outlineId });
        throw error;
      }
    },

    async confirmOutline(principal, outlineId, { confirmerId, confirmerName }) {
      const outline = await outlines.in(principal).get(outlineId);
      if (!outline) throw new OutlineNotFoundError(outlineId);
      const task = await states.transition(principal, outline.taskId, (current) => {
        if (current.outlineId !== outlineId && current.status !== 'CANCELLED') {
          throw new ReportConflictError('OUTLINE_SUPERSEDED', {
            zh: '大纲已被新版本取代',
            en: 'The outline was replaced by a newer version',
          });
        }
        assertAllowed('confirmOutline', current.status);
        return {
          status: 'PENDING_DATA',
          stage: 'data_collect',
          progress: REACHED.outlineConfirmed,
          message: { zh: '大纲已确认，等待资料', en: 'The outline is confirmed; data is awaited' },
          confirmation: { confirmerId, confirmerName, at: new Date() },
        };
      });
      await states.announce(principal, task);
      return outlineView(outline, task);
    },
  };
}
