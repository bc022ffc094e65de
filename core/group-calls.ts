export interface GroupOptions<In, Out> {
  /** Calls in one command. */
  most: number;
  /** Together they may be about so long; a longer one goes alone. */
  mostBytes: number;
  /** About how long a call is. */
  bytes(item: In): number;
  /** Carries out a group and gives the result of each; when it throws, all of the group get the error. */
  write(items: In[]): Promise<PromiseSettledResult<Out>[]>;
}

/**
 * Makes one command of many calls: one is under way at a time, and the calls that come meanwhile share the next. So a lone call waits
 * for nobody, and a hundred at once cost a few commands.
 */
export function groupCalls<In, Out>({
  most,
  mostBytes,
  bytes,
  write,
}: GroupOptions<In, Out>): (item: In) => Promise<Out> {
  let waiting: { item: In; resolve(result: Out): void; reject(error: unknown): void }[] = [];
  let writing = false;

  const next = () => {
    let count = 0;
    for (let sum = 0; count < Math.min(most, waiting.length); count += 1) {
      const entry = waiting[count];
      sum += entry ? bytes(entry.item) : 0;
      if (count > 0 && sum > mostBytes) break;
    }
    const group = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return group;
  };

  const drain = async () => {
    writing = true;
    // What is called in the same breath goes together from the start.
    await undefined;
    for (let group = next(); group.length > 0; group = next()) {
      const results = await write(group.map(({ item }) => item)).catch((reason: unknown) =>
        group.map((): PromiseSettledResult<Out> => ({ status: 'rejected', reason })),
      );
      for (const [at, { resolve, reject }] of group.entries()) {
        const result = results[at];
        if (result?.status === 'fulfilled') resolve(result.value);
        else reject(result?.reason);
      }
    }
    writing = false;
  };

  return (item) =>
    new Promise<Out>((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!writing) void drain();
    });
}

/** How a promise ends. */
export const settled = async <T>(work: Promise<T>): Promise<PromiseSettledResult<T>> => {
  const [result] = await Promise.allSettled([work]);
  return result;
};
