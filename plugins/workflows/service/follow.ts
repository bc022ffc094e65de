import type { Principal } from '../../../core/principal.ts';
import type { RunEvent, RunService, RunState } from '../../../runtime/runs/service.ts';

const TERMINAL = 'execution_finished';
const PAGE = 1000;

export const hasEnded = ({ status }: RunState): boolean =>
  status === 'succeeded' || status === 'failed' || status === 'cancelled';

/**
 * The events of a run from `from` on, stored and live ones, up to its terminal event. Where they begin is settled when this
 * resolves: whoever looks at the run's state afterwards misses no change of it.
 */
export async function followRun(
  runs: RunService,
  principal: Principal,
  run: RunState,
  from: number,
  signal?: AbortSignal,
): Promise<AsyncIterable<RunEvent>> {
  const last = await runs.lastEvent(principal, run.logId);
  const next = (last?.seq ?? -1) + 1;
  const ended = last?.type === TERMINAL && from >= next;
  // A number that nobody has given out yet would be waited for in vain.
  const start = Math.min(from, next);
  return (async function* () {
    if (ended) return;
    for await (const event of runs.subscribe(principal, run.logId, start, signal)) {
      yield event;
      if (event.type === TERMINAL) return;
    }
  })();
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
