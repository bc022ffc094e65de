import type { RunService } from '../../../runtime/runs/service.ts';

/** A process that lives and still has not started the run it took something for has failed to, and to give it back. */
const START_MS = 10_000;

/**
 * Whether what a process took for a run that is not stored will never get it. For what this process has not in hand itself.
 *
 * @param taken.host the process; missing in what older versions stored
 */
export async function isAbandoned(
  runs: Pick<RunService, 'host' | 'isAlive'>,
  { host, since }: { host: string | undefined; since: Date | undefined },
): Promise<boolean> {
  if (host === undefined || host === runs.host) return true;
  if (since === undefined || Date.now() - since.getTime() > START_MS) return true;
  return !(await runs.isAlive(host));
}
