import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectDatabase } from '../../../core/data/connect.ts';
import { createLogger } from '../../../core/log.ts';
import { Type } from '../../../core/schema.ts';
import { defineTool } from '../../../core/tool.ts';
import { openStore } from '../../../runtime/store/index.ts';
import { me, openLoop, openLoopPool } from './loop-harness.ts';

/** Answers of the kill test; `node loop-kill-child.ts <folder> <model URL>` works on them until they have ended, or it is killed. */
export const RUN_IDS = Array.from({ length: 6 }, (_, n) => `answer-${n}`);

/** The loop on a store in a folder, with a tool that notes each of its effects in a file. */
export async function openKilled(folder: string, modelUrl: string) {
  const store = await openStore({ folder });
  const database = await connectDatabase(store.uri, { log: createLogger('silent') });
  const pool = await openLoopPool(modelUrl);
  const note = defineTool({
    name: 'note',
    category: 'test',
    description: 'Notes something.',
    parameters: Type.Object({ text: Type.String() }),
    effect: 'changes',
    async call({ arguments: { text }, idempotencyKey }) {
      appendFileSync(join(folder, 'effects'), `${idempotencyKey} ${text}\n`);
      await delay(10);
      return `noted ${text}`;
    },
  });
  const disposers: (() => Promise<void>)[] = [];
  const owner = { after: (dispose: () => Promise<void>) => void disposers.push(dispose) };
  const loop = await openLoop(owner, { pool, tools: [note], database });
  return Object.assign(loop, {
    async dispose() {
      for (const dispose of disposers) await dispose();
      await pool.close({ graceMs: 0 });
      await database.close();
      await store.close();
    },
  });
}

if (import.meta.main) {
  const [folder = '', modelUrl = ''] = process.argv.slice(2);
  const loop = await openKilled(folder, modelUrl);
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const follow = async (id: string) => {
    for await (const event of loop.runs.subscribe(me, id, 0)) say(JSON.stringify(event));
  };
  await Promise.all(
    RUN_IDS.map(async (id) => {
      await loop.start({ message: id, mode: 'deep' }, id);
      void follow(id);
      await loop.runs.ended(me, id);
    }),
  );
  say('done');
  await loop.dispose();
}
