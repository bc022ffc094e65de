import { connectDatabase } from '../../../core/data/connect.ts';
import { createLogger } from '../../../core/log.ts';
import { defineRunKind, type RunKind } from '../../../core/run-kind.ts';
import { createRuns, type RunEvent, type Runs } from '../../../runtime/runs/index.ts';
import { openStore } from '../../../runtime/store/index.ts';
import { user } from './harness.ts';

/** Runs of the kill test; `node kill-child.ts <folder>` carries them out until they have ended, or until it is killed. */
export const RUN_IDS = Array.from({ length: 12 }, (_, n) => `kill-${n}`);
export const STEPS = 8;
export const me = user();

const kind = defineRunKind<{ n: number }, number>({
  kind: 'killed',
  async execute({ input, emit, step, node }) {
    let sum = 0;
    for (let at = 0; at < STEPS; at += 1) {
      void emit('noise', { at });
      const events = (result: number) => [{ type: 'step_done', data: { at, result } }];
      const work = () =>
        at % 2 === 0
          ? step(`step ${at}`, async () => sum + at, { events })
          : node<number>(`node ${at}`, { type: 'add', input: [sum, at] }, { events });
      sum = await work();
    }
    const parts = await Promise.all([0, 1, 2].map((part) => step(`part ${part}`, async () => part)));
    return sum + parts.length + input.n;
  },
});

export async function openKilled(folder: string): Promise<Runs & { dispose(): Promise<void> }> {
  const store = await openStore({ folder });
  const log = createLogger('silent');
  const database = await connectDatabase(store.uri, { log });
  const runs = createRuns({
    database,
    kinds: [kind as unknown as RunKind],
    executor: {
      async run({ input }, { onEvent }) {
        const [sum = 0, at = 0] = input as number[];
        await onEvent?.('token', { at });
        return sum + at;
      },
    },
    log,
    options: { exclusive: true },
  });
  await database.ready();
  await runs.recover();
  return Object.assign(runs, {
    async dispose() {
      await runs.close();
      await database.close();
      await store.close();
    },
  });
}

if (import.meta.main) {
  const runs = await openKilled(process.argv[2] ?? '');
  const say = (line: string) => process.stdout.write(`${line}\n`);
  say('open');
  const follow = async (id: string) => {
    for await (const event of runs.subscribe(me, id, 0)) say(JSON.stringify(event satisfies RunEvent));
  };
  await Promise.all(
    RUN_IDS.map(async (id, n) => {
      await runs.start(me, 'killed', { n }, { id, events: [{ type: 'asked', data: {} }] });
      void follow(id);
      await runs.ended(me, id);
    }),
  );
  say('done');
  await runs.dispose();
}
