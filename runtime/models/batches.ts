/** When pieces are handed on: at the latest when they have become so old or so long together. */
export interface BatchLimits {
  readonly ms: number;
  readonly chars: number;
}

/** So many streams of one thread are handed on as often as one of them alone; more of them in larger pieces. */
const MANY = 16;
const MOST_MS = 300;

/** Limits of a stream beside others in its thread: people read no faster because more of them do. */
export const sharedLimits = ({ ms, chars }: BatchLimits, streams: number): BatchLimits => ({
  ms: Math.min(Math.max(ms, MOST_MS), Math.round(ms * Math.max(1, streams / MANY))),
  chars,
});

/**
 * Joins pieces of one kind that come close together. The first piece after a pause goes out at once, so nobody waits for the first
 * word; call `flush` at the end.
 */
export function createBatches<Kind extends string>(
  send: (kind: Kind, text: string) => void,
  limits: BatchLimits | (() => BatchLimits),
): { add(kind: Kind, piece: string): void; flush(): void } {
  let waiting: { kind: Kind; text: string } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let sentAt = Number.NEGATIVE_INFINITY;
  const flush = (last: boolean) => {
    clearTimeout(timer);
    timer = undefined;
    if (waiting === undefined) return;
    const { kind, text } = waiting;
    // Half a sign is none that anybody could store or show; its other half comes with the next piece.
    const ready = last || !/[\ud800-\udbff]$/.test(text) ? text : text.slice(0, -1);
    waiting = ready === text ? undefined : { kind, text: text.slice(-1) };
    if (ready === '') return;
    sentAt = performance.now();
    send(kind, ready);
  };
  return {
    add(kind, piece) {
      if (waiting !== undefined && waiting.kind !== kind) flush(true);
      if (waiting === undefined) waiting = { kind, text: piece };
      else waiting.text += piece;
      const { ms, chars } = typeof limits === 'function' ? limits() : limits;
      const due = sentAt + ms - performance.now();
      if (due <= 0 || waiting.text.length >= chars) flush(false);
      else timer ??= setTimeout(flush, due, false);
    },
    flush: () => flush(true),
  };
}
