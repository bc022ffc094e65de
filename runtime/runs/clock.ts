/** Time as the runs see it; tests pass their own. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls `act` once after `ms` milliseconds; the returned function takes that back. */
  after(ms: number, act: () => void): () => void;
}

/** Timers that never keep a process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, act) {
    const timer = setTimeout(act, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
