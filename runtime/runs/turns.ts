/** Deliveries in one turn of the event loop; about three milliseconds of work. */
const PER_TURN = 2048;
/** Followers that are let on in one turn. */
const FOLLOWERS = 64;

/**
 * Shares the event loop between the followers of event logs and everything else. A thousand followers that wake up for the same
 * bucket would otherwise be served in one go, and nothing else for half a second.
 */
export interface Turns {
  /** Undefined: go on at once. Else go on when the promise resolves. */
  take(): Promise<void> | undefined;
}

export function createTurns(): Turns {
  let left = PER_TURN;
  let scheduled = false;
  const waiting: (() => void)[] = [];

  const next = () => {
    scheduled = false;
    left = PER_TURN;
    const go = waiting.splice(0, FOLLOWERS);
    if (waiting.length > 0) schedule();
    for (const resolve of go) resolve();
  };
  const schedule = () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(next);
  };

  return {
    take() {
      schedule();
      if (left > 0) {
        left -= 1;
        return undefined;
      }
      return new Promise((resolve) => {
        waiting.push(resolve);
      });
    },
  };
}
