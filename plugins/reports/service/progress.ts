import type { Language } from '../../../core/contracts/contract.ts';
import type { Principal } from '../../../core/principal.ts';
import type { RunEvent } from '../../../runtime/runs/service.ts';
import type { ProgressMessage, ReportService } from '../public.ts';
import { isFinal } from '../rules.ts';
import type { ReportParts } from './parts.ts';
import type { States } from './states.ts';
import { STATE_EVENT, stateOf, type TaskState } from './task-state.ts';

/** A repeated or overtaken state: crashes and parallel writers may leave one in the log, nobody needs to see it. */
const isNews = (state: TaskState, shown: TaskState | undefined): boolean => {
  if (!shown || state.revision > shown.revision) return true;
  if (state.revision < shown.revision || state.progress < shown.progress) return false;
  return state.progress > shown.progress || state.stage !== shown.stage || state.message.zh !== shown.message.zh;
};

const messageOf = (taskId: string, event: RunEvent, state: TaskState, language: Language): ProgressMessage => ({
  id: event.seq,
  data: {
    taskId,
    status: state.status,
    stage: state.stage,
    progress: state.progress,
    message: state.message[language],
    timestamp: event.at,
  },
});

/** The progress stream: a projection of the `state` events of the task's log. Source: contracts/reports.md, 2.5. */
export function createProgress({ runs }: ReportParts, states: States): Pick<ReportService, 'progress'> {
  const lastState = (principal: Principal, taskId: string) => runs.lastEvent(principal, taskId, [STATE_EVENT]);

  async function* follow(
    principal: Principal,
    taskId: string,
    options: { language: Language; signal: AbortSignal; from: number; shown: TaskState | undefined },
  ): AsyncGenerator<ProgressMessage> {
    let { shown } = options;
    for await (const event of runs.subscribe(principal, taskId, options.from, options.signal)) {
      const state = stateOf(event);
      if (!state || !isNews(state, shown)) continue;
      shown = state;
      yield messageOf(taskId, event, state, options.language);
      if (!isFinal(state.status)) continue;
      // An old end that was followed by one more report is not the end.
      const last = stateOf(await lastState(principal, taskId));
      if (!last || !isNews(last, state)) return;
    }
  }

  return {
    async progress(principal, taskId, { language, lastEventId, signal }) {
      await states.announce(principal, await states.get(principal, taskId));
      const last = await lastState(principal, taskId);
      const current = stateOf(last);
      const resumed = lastEventId !== undefined && last !== undefined && lastEventId <= last.seq;
      if (!resumed) return follow(principal, taskId, { language, signal, from: last?.seq ?? 0, shown: undefined });
      const [seen] = await runs.events(principal, taskId, lastEventId, 1);
      const shown = seen?.seq === lastEventId ? stateOf(seen) : undefined;
      if (current && shown && !isNews(current, shown)) {
        // Nothing is new: an ended task has nothing to wait for, a waiting one shows where it stands.
        if (isFinal(current.status)) return undefined;
        return follow(principal, taskId, { language, signal, from: last.seq, shown: undefined });
      }
      return follow(principal, taskId, { language, signal, from: lastEventId + 1, shown });
    },
  };
}
