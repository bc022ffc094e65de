import { MongoClient } from 'mongodb';
import { openStore } from '../../../../runtime/store/index.ts';

/**
 * The victim of the kill test: a mixed load of 16 writers over unique, compound and multikey indexes. A line on the
 * standard output follows each acknowledged write: `i <id>` inserted, `g <id>` gone, `c <counter> <value>` counted.
 * `d <id>` stands before a delete, so that one that was on its way when the process died is not taken for a loss.
 */
const [folder = '', round = '0'] = process.argv.slice(2);
const store = await openStore({ folder });
const client = await new MongoClient(store.uri).connect();
const db = client.db('kill');
const docs = db.collection<{ _id: number; key: string; group: number; tags: string[]; body: string }>('docs');
const counters = db.collection<{ _id: number; n: number }>('counters');
await docs.createIndexes([{ key: { key: 1 }, unique: true }, { key: { group: 1, key: -1 } }, { key: { tags: 1 } }]);
const print = (line: string): boolean => process.stdout.write(`${line}\n`);
let next = Number(round) * 1_000_000;

async function work(worker: number): Promise<void> {
  const mine: number[] = [];
  for (let turn = 0; ; turn++) {
    const make = () => {
      const id = ++next;
      return { _id: id, key: `k${id}`, group: id % 7, tags: [`t${id % 5}`, `t${id % 11}`], body: 'x'.repeat(id % 900) };
    };
    if (turn % 10 === 9) {
      const batch = Array.from({ length: 20 }, make);
      await docs.insertMany(batch);
      for (const { _id } of batch) print(`i ${_id}`);
    } else if (turn % 4 === 3 && mine.length > 3) {
      const id = mine.shift();
      if (id === undefined) continue;
      print(`d ${id}`);
      await docs.deleteOne({ _id: id });
      print(`g ${id}`);
    } else if (turn % 4 === 2) {
      const result = await counters.findOneAndUpdate(
        { _id: worker },
        { $inc: { n: 1 } },
        { upsert: true, returnDocument: 'after' },
      );
      print(`c ${worker} ${result?.n}`);
    } else {
      const doc = make();
      await docs.insertOne(doc);
      mine.push(doc._id);
      print(`i ${doc._id}`);
      await docs.updateOne({ _id: doc._id }, { $push: { tags: `w${worker}` }, $set: { group: worker } });
    }
  }
}
await Promise.all(Array.from({ length: 16 }, (_, worker) => work(worker)));
