import type { Logger } from './log.ts';

/**
 * Repeats work with pauses between, the first time after one; what fails is logged, and tried again the next time.
 *
 * @param work should stop soon when its signal fires
 * @returns ends it: fires the signal, and waits for what is under way
 */
export function repeatEvery(
  ms: number,
  work: (signal: AbortSignal) => Promise<unknown>,
  log: Logger,
  label: string,
): () => Promise<void> {
  const end = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout;
  const next = () => {
    if (end.signal.aborted) return;
    timer = setTimeout(() => {
      running = work(end.signal)
        .catch((error: unknown) => log.error({ err: error }, `${label} failed`))
        .then(next);
    }, ms).unref();
  };
  next();
  return async () => {
    end.abort();
    clearTimeout(timer);
    await running;
  };
}
