import type { Socket } from 'socket.io';
import type { Principal } from '../../core/principal.ts';
import type { Run, RunEvent, RunService } from '../../runtime/runs/service.ts';
import type { Backlog } from './backlog.ts';

/** One event of a run, as clients receive it. */
export interface LiveEvent {
  run_id: string;
  seq: number;
  type: string;
  data: Record<string, unknown>;
  /** ISO, UTC, milliseconds. */
  at: string;
}

export interface FollowOptions {
  socket: Pick<Socket, 'emit' | 'disconnect'>;
  backlog: Backlog;
  runs: RunService;
  principal: Principal;
  run: Run;
  from: number;
  signal: AbortSignal;
}

/**
 * Sends the run's events from `from` on until it has ended.
 *
 * @returns the run's last status and the number after its last event; undefined when the client went away or does not read
 */
export async function followRun({
  socket,
  backlog,
  runs,
  principal,
  run,
  from,
  signal,
}: FollowOptions): Promise<{ status: string; next: number } | undefined> {
  let next = from;
  /** Number of the run's last event, once it has ended. */
  let last: number | undefined;
  const stop = new AbortController();
  const onAbort = () => stop.abort();
  signal.addEventListener('abort', onAbort, { once: true });
  const ended = runs
    .ended(principal, run.id, stop.signal)
    .then(async ({ status }) => {
      last = (await runs.lastEvent(principal, run.logId))?.seq ?? -1;
      if (next > last) stop.abort();
      return status;
    })
    .catch(() => undefined);
  try {
    for await (const event of runs.subscribe(principal, run.logId, from, stop.signal)) {
      if (stop.signal.aborted) break;
      socket.emit('event', view(event));
      next = event.seq + 1;
      if (last !== undefined && next > last) break;
      if (!(await backlog.drained(signal))) {
        socket.disconnect(true);
        return undefined;
      }
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (signal.aborted) stop.abort();
  }
  if (signal.aborted) return undefined;
  const status = await ended;
  return status === undefined ? undefined : { status, next };
}

const view = ({ runId, seq, type, data, at }: RunEvent): LiveEvent => ({
  run_id: runId,
  seq,
  type,
  data,
  at: at.toISOString(),
});
