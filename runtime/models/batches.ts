/** When pieces are handed on: at the latest when they have become so old or so long together. */
export interface BatchLimits {
  readonly ms: number;
  readonly chars: number;
}

/**
 * Joins pieces of one kind that come close together. The first piece after a pause goes out at once, so nobody waits for the first
 * word; call `flush` at the end.
 */
export function createBatches<Kind extends string>(
  send: (kind: Kind, text: string) => void,
  { ms, chars }: BatchLimits,
): { add(kind: Kind, piece: string): void; flush(): void } {
  let waiting: { kind: Kind; text: string } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let sentAt = Number.NEGATIVE_INFINITY;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    if (waiting === undefined) return;
    const { kind, text } = waiting;
    waiting = undefined;
    sentAt = performance.now();
    send(kind, text);
  };
  return {
    add(kind, piece) {
      if (waiting !== undefined && waiting.kind !== kind) flush();
      if (waiting === undefined) waiting = { kind, text: piece };
      else waiting.text += piece;
      const due = sentAt + ms - performance.now();
      if (due <= 0 || waiting.text.length >= chars) flush();
      else timer ??= setTimeout(flush, due);
    },
    flush,
  };
}
