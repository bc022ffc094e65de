import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { MongoClient } from 'mongodb';
import { openStore } from '../../../runtime/store/index.ts';

/** 8 kills by default, 100 with `KOAGENT_TEST_FULL=1`. */
const kills = process.env.KOAGENT_TEST_FULL === '1' ? 100 : 8;
const writer = new URL('./support/writer.ts', import.meta.url).pathname;

interface Acknowledged {
  inserted: Set<number>;
  /** Asked to be deleted; may be there or not. */
  deleting: Set<number>;
  deleted: Set<number>;
  /** Highest acknowledged value of each counter. */
  counters: Map<number, number>;
}

/** Starts a process that owns the store, writes without pause and prints each write after its acknowledgement. */
async function killWhileWriting(folder: string, round: number, seen: Acknowledged): Promise<number> {
  const child: ChildProcess = spawn(process.execPath, [writer, folder, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { stdout } = child;
  assert.ok(stdout);
  const lines = createInterface({ input: stdout });
  // Killed after a random number of acknowledged writes, in the middle of the next ones.
  let left = 50 + Math.floor(Math.random() * 1500);
  let count = 0;
  lines.on('line', (line) => {
    const [kind, first = 0, second = 0] = line.split(' ').map((part, i) => (i === 0 ? part : Number(part))) as [
      string,
      number,
      number,
    ];
    if (kind === 'i') seen.inserted.add(first);
    else if (kind === 'd') seen.deleting.add(first);
    else if (kind === 'g') seen.deleted.add(first);
    else if (kind === 'c') seen.counters.set(first, Math.max(second, seen.counters.get(first) ?? 0));
    else assert.fail(`unexpected line of the writer: ${line}`);
    count++;
    if (--left === 0) setTimeout(() => child.kill('SIGKILL'), Math.random() * 20);
  });
  const closed = once(lines, 'close');
  const [, signal] = await once(child, 'exit');
  await closed;
  assert.equal(signal, 'SIGKILL', 'the writer has to be killed, not end by itself');
  return count;
}

test(`kill: after each of ${kills} SIGKILLs every acknowledged write is there and all indexes agree`, {
  timeout: kills * 20_000,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'koagent-kill-'));
  t.after(() => rm(folder, { recursive: true }));
  const seen: Acknowledged = { inserted: new Set(), deleting: new Set(), deleted: new Set(), counters: new Map() };
  let writes = 0;
  for (let round = 0; round < kills; round++) {
    writes += await killWhileWriting(folder, round, seen);
    const store = await openStore({ folder });
    const client = await new MongoClient(store.uri).connect();
    const db = client.db('kill');
    const ids = new Set(
      (
        await db
          .collection('docs')
          .find({}, { projection: { _id: 1 } })
          .toArray()
      ).map(({ _id }) => Number(_id)),
    );
    for (const id of seen.inserted) if (!seen.deleting.has(id)) assert.ok(ids.has(id), `document ${id} is lost`);
    const gone = [...seen.deleted].filter((id) => ids.has(id));
    assert.deepEqual(gone, [], 'deleted documents are back');
    for (const counter of await db.collection<{ _id: number; n: number }>('counters').find().toArray()) {
      assert.ok(counter.n >= (seen.counters.get(counter._id) ?? 0), `counter ${counter._id} lost an increment`);
    }
    for (const name of ['docs', 'counters']) {
      const report = await db.command({ validate: name, full: round === kills - 1 });
      assert.equal(report.valid, true, JSON.stringify(report.errors));
    }
    assert.equal(await db.collection('docs').estimatedDocumentCount(), ids.size);
    await client.close();
    await store.close();
  }
  t.diagnostic(`${writes} acknowledged writes`);
});
