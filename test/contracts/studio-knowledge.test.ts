import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { databaseService } from '../../core/data/database.ts';
import { documentModel } from '../../plugins/knowledge/models/document.ts';
import { startTestServer } from '../support/app.ts';
import { signIn } from '../support/people.ts';
import { startPluginServer } from '../support/plugin-server.ts';
import { zip } from '../support/zip.ts';

// Source: studio document, section 5; contracts/studio.md 2.4.
const FIXTURES = join(import.meta.dirname, '..', 'fixtures', 'documents');
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const server = await startTestServer({ after });
const as = await signIn(server, 'studio', 'user@example.com');
const AGENT = { name: '客服', prompt_template: 'p', model_config: { provider: 'openai', model_name: 'gpt-4o' } };
const makeAgent = async (who = as): Promise<number> => (await who('POST', '/agents', AGENT)).body.data.id;
const agent = await makeAgent();

const upload = (agentId: unknown, name: string, content: Uint8Array | string | undefined, who = as) => {
  const form = new FormData();
  if (agentId !== undefined) form.set('agent_id', String(agentId));
  if (content !== undefined) form.set('file', new Blob([content as string]), name);
  return who('POST', '/knowledge/documents/upload', form);
};
const search = (query: unknown, agentId: unknown = agent, more: object = {}) =>
  as('POST', '/knowledge/search', { query, agent_id: agentId, ...more });
const failure =
  (code: number, message: RegExp) => (answer: { status: number; text: string; body: Record<string, unknown> }) => {
    assert.deepEqual(
      [answer.status, answer.body?.code, answer.body?.data],
      [Math.floor(code / 100), code, null],
      answer.text,
    );
    assert.deepEqual(Object.keys(answer.body), ['code', 'message', 'data']);
    assert.match(String(answer.body.message), message);
  };
/** Documents that are kept for the agents of this file, by name. */
const kept = async () => {
  const database = server.server.app.host.find(databaseService);
  assert.ok(database);
  const found = await documentModel(database).acrossTenants('test').find({});
  return found.map(({ filename }) => filename);
};

test('upload and search: when the answer arrives the document can be found', async () => {
  const pdf = readFileSync(join(FIXTURES, 'libreoffice.pdf'));
  const { status, body } = await upload(agent, '专题.pdf', pdf);
  assert.deepEqual(
    [status, Object.keys(body), body.code, body.message],
    [200, ['code', 'message', 'data'], 200, 'success'],
  );
  const { created_at, chunk_count, ...data } = body.data;
  assert.match(created_at, TIME);
  assert.ok(chunk_count >= 1);
  assert.deepEqual(data, {
    id: 1,
    agent_id: agent,
    filename: '专题.pdf',
    file_type: 'pdf',
    file_size: pdf.byteLength,
    status: 'completed',
  });
  const found = await search('干预组每天服用多少维生素D？');
  assert.equal(found.status, 200);
  const { items, total } = found.body.data;
  assert.deepEqual([Object.keys(found.body.data), total], [['items', 'total'], items.length]);
  const { chunk_id, score, content, ...rest } = items[0];
  assert.deepEqual(rest, { document_id: 1, filename: '专题.pdf' });
  assert.ok(Number.isSafeInteger(chunk_id) && chunk_id >= 1 && score > 0 && score <= 1);
  assert.match(content, /三千单位/);
  assert.deepEqual((await search('干预组每天服用多少维生素D？')).body.data, found.body.data);
});

test('upload: text and Markdown, in UTF-8 and GBK, whatever the case of the extension', async () => {
  const id = await makeAgent();
  const files: [string, Uint8Array | string, string][] = [
    ['notes.TXT', '营业时间是早上九点到晚上六点。', 'txt'],
    ['手册.md', '# 退货\n\n七天之内可以无理由退货。', 'md'],
    ['more.markdown', '# 发票\n\n电子发票在订单页面下载。', 'md'],
    ['gbk.txt', readFileSync(join(FIXTURES, 'gbk.txt')), 'txt'],
  ];
  for (const [name, content, type] of files) {
    const { status, body } = await upload(id, name, content);
    assert.deepEqual(
      [status, body.data?.file_type, body.data?.status, body.data?.agent_id],
      [200, type, 'completed', id],
      name,
    );
  }
  for (const [query, filename] of [
    ['几点开始营业', 'notes.TXT'],
    ['怎么退货', '手册.md'],
    ['发票在哪里', 'more.markdown'],
  ]) {
    assert.equal((await search(query, id)).body.data.items[0]?.filename, filename);
  }
});

test('search: only in the documents of the agent, at most top_k, best first', async () => {
  const [one, two] = [await makeAgent(), await makeAgent()];
  for (let at = 0; at < 7; at += 1)
    await upload(one, `f${at}.txt`, `第 ${at} 号仓库存放苹果和梨子。${'苹果'.repeat(at)}`);
  await upload(two, 'other.txt', '另一位客服的苹果。');
  const five = (await search('苹果', one)).body.data;
  assert.deepEqual([five.items.length, five.total], [5, 5]);
  const all = (await search('苹果', one, { top_k: 50 })).body.data.items;
  assert.equal(all.length, 7);
  assert.ok(all.every(({ filename }: { filename: string }) => filename !== 'other.txt'));
  const scores = all.map(({ score }: { score: number }) => score);
  assert.deepEqual(
    scores,
    [...scores].sort((a: number, b: number) => b - a),
  );
  assert.equal((await search('苹果', one, { top_k: 1 })).body.data.total, 1);
  assert.deepEqual((await search('量子纠缠', one)).body.data, { items: [], total: 0 });
  assert.deepEqual((await search('" OR * NEAR( {}', two)).body.data, { items: [], total: 0 });
});

test('upload: files of other kinds, and files that are not what their names say', async () => {
  const before = await kept();
  const pdf = readFileSync(join(FIXTURES, 'libreoffice.pdf'));
  const refused: [string, Uint8Array | string][] = [
    ['a.docx', readFileSync(join(FIXTURES, 'libreoffice.docx'))],
    ['a.doc', readFileSync(join(FIXTURES, 'libreoffice.doc'))],
    ['a.html', '<p>x</p>'],
    ['a.csv', 'a,b'],
    ['a.exe', 'MZ'],
    ['noextension', 'plain text'],
    ['pdf', pdf],
    ['a.pdf', 'this is no pdf'],
    ['a.txt', pdf],
    ['a.md', zip([{ name: 'x', content: 'y' }])],
    ['a.txt', new Uint8Array([0, 1, 2, 3, 0, 255, 254, 7, 0, 0, 9, 1])],
    ['a.txt\u0000.exe', 'x'],
  ];
  for (const [name, content] of refused) failure(40004, /PDF、TXT 或 Markdown/)(await upload(agent, name, content));
  failure(40005, /20 MB/)(await upload(agent, 'big.txt', new Uint8Array((20 << 20) + 1).fill(97)));
  failure(40006, /空/)(await upload(agent, 'empty.txt', ''));
  failure(40006, /文字/)(await upload(agent, 'blank.md', ' \n\t\n '));
  failure(40006, /./)(await upload(agent, 'broken.pdf', pdf.subarray(0, 600)));
  assert.deepEqual(await kept(), before, 'nothing of a refused file is kept');
});

test('upload: what is wrong with the form', async () => {
  failure(40000, /^file/)(await upload(agent, '', undefined));
  failure(40000, /^agent_id/)(await upload(undefined, 'a.txt', 'x'));
  for (const id of ['', 'x', '1.5', '-1', '0', '9'.repeat(400), 'agent-picos'])
    failure(40000, /^agent_id/)(await upload(id, 'a.txt', 'x'));
  failure(40401, /./)(await upload(agent + 1000, 'a.txt', 'x'));
  const json = await as('POST', '/knowledge/documents/upload', { agent_id: agent });
  failure(40000, /multipart/)(json);
  const text = new FormData();
  text.set('agent_id', String(agent));
  text.set('file', 'a text is no file');
  failure(40000, /^file/)(await as('POST', '/knowledge/documents/upload', text));
  const torn = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nabc';
  failure(
    40000,
    /./,
  )(
    await as('POST', '/knowledge/documents/upload', torn, {
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
    }),
  );
});

test('upload: names with folders, control characters and 300 characters', async () => {
  const id = await makeAgent();
  const named = async (name: string) => (await upload(id, name, '内容')).body.data?.filename;
  assert.equal(await named('../../etc/passwd.txt'), 'passwd.txt');
  assert.equal(await named('C:\\temp\\报告.md'), '报告.md');
  const long = await named(`${'长'.repeat(300)}.txt`);
  assert.deepEqual([long.length, long.endsWith('.txt')], [255, true]);
  assert.equal(await named('__proto__.txt'), '__proto__.txt');
});

test('search: what is wrong', async () => {
  for (const query of [undefined, null, '', '  ', 'q'.repeat(1001), 7, ['a'], { $ne: 1 }])
    failure(40000, /^query/)(await search(query));
  for (const id of [undefined, null, '1', 0, -1, 1.5, true, [agent], 'agent-picos'])
    failure(40000, /^agent_id/)(await as('POST', '/knowledge/search', { query: 'x', agent_id: id }));
  for (const top_k of [0, 51, -1, 1.5, '5', null]) failure(40000, /^top_k/)(await search('x', agent, { top_k }));
  failure(40401, /./)(await search('x', agent + 1000));
  const json = { headers: { 'content-type': 'application/json' } };
  failure(40000, /^agent_id/)(await as('POST', '/knowledge/search', '{"query":"x","agent_id":1e400}', json));
  failure(40000, /JSON/)(await as('POST', '/knowledge/search', '{"query"', json));
  failure(40000, /./)(await as('POST', '/knowledge/search'));
  failure(41300, /./)(await as('POST', '/knowledge/search', { query: 'x'.repeat(3 << 20), agent_id: agent }));
  const odd = `{"__proto__":{"agent_id":1},"query":"维生素","agent_id":${agent},"constructor":1}`;
  assert.equal((await as('POST', '/knowledge/search', odd, json)).status, 200);
  assert.equal((await search('维'.repeat(1000))).status, 200);
});

test('agents and documents of others are not there', async () => {
  const other = await signIn(server, 'studio', 'other@example.com');
  failure(40401, /智能体不存在/)(await upload(agent, 'a.txt', 'x', other));
  failure(40401, /智能体不存在/)(await other('POST', '/knowledge/search', { query: '维生素', agent_id: agent }));
  for (const [path, body] of [
    ['/knowledge/search', { query: 'x', agent_id: agent }],
    ['/knowledge/documents/upload', new FormData()],
  ] as const) {
    failure(40100, /./)(await server.call('POST', path, { body }));
  }
});

test('a deleted agent takes its documents along', async () => {
  const id = await makeAgent();
  await upload(id, 'gone.txt', '会消失的文字');
  assert.equal((await search('消失', id)).body.data.total, 1);
  assert.ok((await kept()).includes('gone.txt'));
  await as('DELETE', `/agents/${id}`);
  failure(40401, /./)(await search('消失', id));
  failure(40401, /./)(await upload(id, 'late.txt', 'x'));
  assert.equal((await kept()).includes('gone.txt'), false);
});

test('an agent that is deleted while documents come in leaves none behind', async () => {
  const id = await makeAgent();
  const uploads = Array.from({ length: 6 }, (_, at) => upload(id, `race-${at}.txt`, `第 ${at} 份文字`));
  const deletion = as('DELETE', `/agents/${id}`);
  const answers = await Promise.all(uploads);
  await deletion;
  for (const answer of answers) if (answer.status !== 200) failure(40401, /./)(answer);
  assert.deepEqual(
    (await kept()).filter((name) => name.startsWith('race-')),
    [],
  );
});

test('without the agents plugin the rows are unknown, in the form of the API', async (t) => {
  const plain = await startPluginServer(t, new URL('../../plugins/knowledge', import.meta.url), { name: 'knowledge' });
  failure(40400, /./)(await plain.call('POST', '/knowledge/search', { body: { query: 'x', agent_id: 1 } }));
  failure(40400, /./)(await plain.call('POST', '/knowledge/documents/upload', { body: new FormData() }));
});

test('an agent has a limit of documents, and one of bytes', async (t) => {
  const options = { documentsPerAgent: 1, agentFileMb: 1 };
  const folder = new URL('../../plugins/knowledge', import.meta.url);
  const small = await startPluginServer(t, folder, { name: 'knowledge', options, beside: ['agents'] });
  const { id } = (await small.call('POST', '/agents', { body: AGENT })).body.data;
  const send = (content: string) => {
    const form = new FormData();
    form.set('agent_id', String(id));
    form.set('file', new Blob([content]), 'a.txt');
    return small.call('POST', '/knowledge/documents/upload', { body: form });
  };
  failure(40005, /1 MB/)(await send('x'.repeat((1 << 20) + 1)));
  failure(40005, /./)(await send('x'.repeat(5 << 20)));
  assert.equal((await send('x')).status, 200);
  failure(40000, /上限/)(await send('y'));
});
