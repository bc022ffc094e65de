import { randomUUID } from 'node:crypto';
import type { Collection, Document } from '../../core/data/database.ts';
import type { Logger } from '../../core/log.ts';
import type { Clock } from './clock.ts';
import type { HostFields } from './model.ts';

/**
 * The lease of this process on all of its runs: a run names its holder, and the holder's own document says how long it may be
 * believed to live. So renewing costs one write however many runs there are.
 */
export interface Hosts {
  /** Id under which this process holds runs. Another one after the lease was lost. */
  readonly id: string;
  /** Begins to hold. Resolves when the lease is stored. */
  join(): Promise<void>;
  /** Holders whose runs must be left alone; the own id among them. */
  alive(): Promise<string[]>;
  leave(): Promise<void>;
}

/** Nobody else can use the store: whatever another holder left is free, and nothing needs to be renewed. */
export function createSoleHost(): Hosts {
  const id = randomUUID();
  return { id, join: async () => undefined, alive: async () => [id], leave: async () => undefined };
}

/**
 * @param onLost the lease has ended without having been renewed in time: other processes may have taken up the runs
 * @param onBeat after each renewal, the time to look after runs whose holder has died
 */
export function createHosts(parts: {
  hosts: Collection<HostFields & Document>;
  log: Logger;
  clock: Clock;
  leaseMs: number;
  onLost(lostId: string): void;
  onBeat(): void;
}): Hosts {
  const { hosts, log, clock, leaseMs, onLost, onBeat } = parts;
  let id: string = randomUUID();
  let until = 0;
  let joined: Promise<void> | undefined;
  let stop: (() => void) | undefined;
  let left = false;

  const join = async () => {
    // Counted from before the write: what the others see is never earlier than what is believed here.
    const end = clock.now() + leaseMs;
    await hosts.insert({ _id: id, until: new Date(end) });
    until = end;
    next();
  };

  const next = () => {
    if (left) return;
    const stopBeat = clock.after(leaseMs / 3, beat);
    // Also when a renewal hangs: whoever cannot renew must not go on believing.
    const stopExpiry = clock.after(until - clock.now(), () => {
      if (clock.now() >= until) lose();
    });
    stop = () => {
      stopBeat();
      stopExpiry();
    };
  };

  const beat = () => {
    const mine = id;
    renew()
      .catch((error: unknown) => log.warn({ err: error }, 'runs: the lease could not be renewed'))
      .then(() => {
        if (left || id !== mine) return;
        stop?.();
        if (clock.now() >= until) lose();
        else next();
      });
  };

  const renew = async () => {
    const now = clock.now();
    const end = now + leaseMs;
    if (now >= until) return;
    const renewed = await hosts.update({ _id: id, until: { $gt: new Date(now) } }, { $set: { until: new Date(end) } });
    until = renewed ? end : 0;
    if (renewed) onBeat();
  };

  const lose = () => {
    if (left) return;
    stop?.();
    const lost = id;
    id = randomUUID();
    log.error('runs: the lease was lost, other processes may have taken up the runs of this one');
    onLost(lost);
    joined = rejoin();
  };

  const rejoin = async (): Promise<void> => {
    while (!left) {
      try {
        return await join();
      } catch (error) {
        log.warn({ err: error }, 'runs: no new lease yet');
        await new Promise<void>((resolve) => clock.after(leaseMs / 10, resolve));
      }
    }
  };

  return {
    get id() {
      return id;
    },
    join: () => (joined ??= join()),
    async alive() {
      const living = await hosts.find({ until: { $gt: new Date(clock.now()) } }, { fields: ['_id'] });
      // The dead are of no use to anyone; those that lost their lease a moment ago may still be asked about.
      await hosts.delete({ until: { $lt: new Date(clock.now() - 20 * leaseMs) } });
      return [...new Set([...living.map(({ _id }) => _id), id])];
    },
    async leave() {
      left = true;
      stop?.();
      await hosts.delete({ _id: id });
    },
  };
}
