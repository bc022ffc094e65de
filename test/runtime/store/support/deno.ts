import { join } from 'node:path';
import mongoose from 'mongoose';
import { checkStoreFile, openStore } from '../../../../runtime/store/index.ts';

/** Run under Deno by engine.test.ts: uses the store once and prints what it found. */
const [folder = ''] = process.argv.slice(2);
const store = await openStore({ folder });
const connection = await mongoose.createConnection(store.uri).asPromise();
const Item = connection.model('Item', new mongoose.Schema({ name: { type: String, unique: true }, tags: [String] }));
await Item.init();
await Item.create([{ name: 'a', tags: ['x'] }, { name: 'b', tags: ['x', 'y'] }, { name: 'c' }]);
await Item.collection.createIndex({ tags: 1 });
const indexed = await Item.countDocuments({ tags: 'x' });
const stored = await Item.estimatedDocumentCount();
const copy = join(folder, 'copy.db');
await store.backup(copy);
checkStoreFile(copy);
await connection.close();
await store.close();
console.log(`stored ${stored}, indexed ${indexed}, backup ok`);
