import type { Logger } from './log.ts';

/**
 * Repeats work with pauses between, the first time after one; what fails is logged, and tried again the next time.
 *
 * @returns ends it, and waits for what is under way
 */
export function repeatEvery(ms: number, work: () => Promise<unknown>, log: Logger, label: string): () => Promise<void> {
  let running: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout;
  let ended = false;
  const next = () => {
    if (ended) return;
    timer = setTimeout(() => {
      running = work()
        .catch((error: unknown) => log.error({ err: error }, `${label} failed`))
        .then(next);
    }, ms).unref();
  };
  next();
  return async () => {
    ended = true;
    clearTimeout(timer);
    await running;
  };
}
