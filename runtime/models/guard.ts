import type { Clock } from './clock.ts';
import type { TimeoutPolicy } from './config.ts';
import { timedOut } from './errors.ts';
import type { SourcePart } from './source.ts';

/**
 * Hands on the parts of one attempt and ends it when the signal fires, the first token is late or the stream stands still.
 * The failure reaches the caller at once, also when the source itself does not react.
 *
 * @param controller of the source; aborted on every end that is not the source's own
 * @throws the signal's reason, or MODEL_TIMEOUT
 */
export async function* guard(
  source: AsyncIterable<SourcePart>,
  controller: AbortController,
  { signal, timeouts, clock }: { signal: AbortSignal; timeouts: TimeoutPolicy; clock: Clock },
): AsyncGenerator<SourcePart> {
  const iterator = source[Symbol.asyncIterator]();
  const begun = clock.now();
  /** Since when the source owes a chunk; the time the consumer takes does not count. */
  let waitingSince: number | undefined = begun;
  let first = true;
  let done = false;
  let failure: { reason: unknown } | undefined;
  let fail: (reason: unknown) => void = () => undefined;
  let stopTimer: () => void = () => undefined;

  const end = (reason: unknown) => {
    failure ??= { reason };
    controller.abort(failure.reason);
    fail(failure.reason);
  };
  const onAbort = () => end(signal.reason);
  // One timer that looks again, instead of one that is set anew for every chunk.
  const watch = () => {
    const limit = first ? timeouts.firstTokenMs : timeouts.idleMs;
    const since = first ? begun : waitingSince;
    const left = since === undefined ? limit : since + limit - clock.now();
    if (left <= 0) end(timedOut(first ? 'first_token' : 'idle', limit));
    else stopTimer = clock.after(left, watch);
  };

  try {
    if (signal.aborted) throw signal.reason;
    signal.addEventListener('abort', onAbort, { once: true });
    watch();
    while (true) {
      waitingSince = clock.now();
      const result = await new Promise<IteratorResult<SourcePart>>((resolve, reject) => {
        fail = reject;
        if (failure) reject(failure.reason);
        iterator.next().then(resolve, reject);
      });
      if (result.done) {
        done = true;
        return;
      }
      waitingSince = undefined;
      if (first && result.value.type !== 'alive') {
        first = false;
        stopTimer();
        watch();
      }
      yield result.value;
    }
  } catch (error) {
    throw failure ? failure.reason : error;
  } finally {
    stopTimer();
    signal.removeEventListener('abort', onAbort);
    if (!done) {
      controller.abort(failure?.reason);
      // Not awaited: a source that hangs must not hold the caller. It ends through its signal.
      iterator.return?.().then(undefined, () => undefined);
    }
  }
}
