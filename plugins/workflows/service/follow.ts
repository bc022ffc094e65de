import type { Principal } from '../../../core/principal.ts';
import type { Run, RunEvent, RunService } from '../../../runtime/runs/service.ts';

const TERMINAL = 'execution_finished';
const PAGE = 1000;

export const hasEnded = ({ status }: Run): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled';

/** The events of a run from `from` on, stored and live ones, up to its terminal event. */
export async function* followRun(
  runs: RunService,
  principal: Principal,
  run: Run,
  from: number,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent> {
  const last = await runs.lastEvent(principal, run.logId);
  const next = (last?.seq ?? -1) + 1;
  if (last?.type === TERMINAL && from >= next) return;
  // A number that nobody has given out yet would be waited for in vain.
  for await (const event of runs.subscribe(principal, run.logId, Math.min(from, next), signal)) {
    yield event;
    if (event.type === TERMINAL) return;
  }
}

/** All events that are stored, in pages, so that others get their turns in between. */
export async function* storedEvents(runs: RunService, principal: Principal, logId: string): AsyncGenerator<RunEvent> {
  for (let from = 0; ; ) {
    const page = await runs.events(principal, logId, from, PAGE);
    yield* page;
    const last = page.at(-1);
    if (!last || page.length < PAGE) return;
    from = last.seq + 1;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
