import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Answer } from '../support/api-client.ts';
import { startTaskServer, type TaskClient, wantsTitle } from '../support/task-server.ts';

const { server, model, client } = await startTaskServer({ after });

const failure = ({ status, body }: Answer): number => {
  assert.deepEqual([body.success, typeof body.error], [false, 'string'], JSON.stringify(body));
  return status;
};
const lastAsked = () => model.asked.at(-1)?.body;
const systemOf = (body: { messages: { content: string }[] }) => body.messages[0]?.content ?? '';
const metadataOf = async (who: TaskClient, id: string) =>
  (await who.call('GET', `/conversations/${id}`)).body.data.metadata;

/** A picture of one pixel. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const JPEG = Buffer.from('ffd8ffe000104a46494600010100000100010000ffc0000b080001000101011100ffd9', 'hex');

async function upload(who: TaskClient, name: string, content: Uint8Array | string): Promise<string> {
  const form = new FormData();
  form.set('file', new Blob([content as string]), name);
  const { body } = await server.call('POST', '/files/upload', { token: who.token, body: form });
  return `user_upload/${body.path}`;
}

/** Which model was asked in each call: the thinking one of `deepseek-v3` has another name. */
async function thinking(who: TaskClient, more: Record<string, unknown>, iterations = 1): Promise<boolean[]> {
  const before = model.asked.length;
  for (let at = 1; at < iterations; at++)
    model.reply({ toolCalls: [{ id: `c${at}`, name: 'list_files', arguments: '{}' }] });
  model.reply({ text: 'ok' });
  assert.equal((await who.ask('think', { model_key: 'deepseek-v3', ...more })).status, 'succeeded');
  return model.asked.slice(before).map(({ body }) => body.model === 'deepseek-reasoner');
}

test('run modes: not at all, first, every so many iterations, always', async () => {
  const bot = await client('modes');
  assert.deepEqual(await thinking(bot, {}, 3), [false, false, false]);
  assert.deepEqual(await thinking(bot, { run_mode: 'fast', thinking_mode: true }, 2), [false, false]);
  assert.deepEqual(await thinking(bot, { run_mode: 'Thinking ' }, 3), [true, false, false]);
  assert.deepEqual(await thinking(bot, { thinking_mode: true }, 2), [true, false]);
  assert.deepEqual(await thinking(bot, { run_mode: 'deep' }, 3), [true, true, true]);
  const content = { thinking_interval: 2, default_run_mode: 'thinking' };
  await bot.call('POST', '/personalizations', { name: 'often', content });
  assert.deepEqual(await thinking(bot, { personalization_name: 'often' }, 4), [true, false, true, false]);
});

test('run mode: the call, else the conversation, else the personalization, else fast', async () => {
  const bot = await client('mode-order');
  await bot.call('POST', '/personalizations', { name: 'deep', content: { default_run_mode: 'deep' } });
  const { conversation_id } = (await bot.call('POST', '/conversations', { personalization_name: 'deep' })).body;
  const mode = async (more: Record<string, unknown>) => {
    const thought = await thinking(bot, { conversation_id, ...more }, 2);
    return [thought.join(), (await metadataOf(bot, conversation_id)).run_mode];
  };
  assert.deepEqual(await mode({}), ['true,true', 'deep']);
  assert.deepEqual(await mode({ run_mode: 'thinking' }), ['true,false', 'thinking']);
  assert.deepEqual(await mode({}), ['true,false', 'thinking'], 'the conversation remembers what was asked for');
  assert.deepEqual(await mode({ thinking_mode: false }), ['false,false', 'fast']);
  assert.deepEqual(await mode({ run_mode: null, thinking_mode: null }), ['false,false', 'fast']);
});

test('model: the call, else the conversation, else the personalization, else the default', async () => {
  const bot = await client('model-order');
  const asked = async (more: Record<string, unknown> = {}) => {
    const { conversationId } = await bot.ask('hi', more);
    return [lastAsked().model, (await metadataOf(bot, conversationId)).model_key];
  };
  assert.deepEqual(await asked(), ['gpt-4o-mini', 'gpt-4o-mini']);
  await bot.call('POST', '/personalizations', { name: 'p', content: { default_model: 'gpt-3.5-turbo' } });
  const { conversation_id } = (await bot.call('POST', '/conversations', { personalization_name: 'p' })).body;
  assert.deepEqual(await asked({ conversation_id }), ['gpt-3.5-turbo', 'gpt-3.5-turbo']);
  assert.deepEqual(await asked({ conversation_id, model_key: 'gpt-4o' }), ['gpt-4o', 'gpt-4o']);
  assert.deepEqual(await asked({ conversation_id }), ['gpt-4o', 'gpt-4o']);
});

test('prompt and personalization: used at once, remembered, and passed over when they are gone', async () => {
  const bot = await client('prompts');
  const save = (kind: string, name: string, content: unknown) => bot.call('POST', `/${kind}`, { name, content });
  await bot.ask('default');
  assert.match(systemOf(lastAsked()), /user_upload/);

  // Braces and control characters are nothing but text.
  const odd = 'You are {context} {{userInput}} $(env) %s \u0001\u0007\u202e end';
  await save('prompts', 'odd', odd);
  await save('personalizations', 'me', { enabled: true, self_identify: '小助手 {name}', considerations: ['简洁'] });
  const first = await bot.ask('hi {question}', { prompt_name: 'odd', personalization_name: 'me' });
  const system = systemOf(lastAsked());
  assert.ok(system.startsWith(`${odd}\n\n`), system);
  assert.match(system, /小助手 \{name\}/);
  assert.equal(lastAsked().messages.at(-1).content, 'hi {question}');
  const metadata = await metadataOf(bot, first.conversationId);
  assert.deepEqual([metadata.custom_prompt_name, metadata.personalization_name], ['odd', 'me']);

  const { conversationId: conversation_id } = first;
  await save('prompts', 'other', 'Other.');
  await bot.ask('again', { conversation_id });
  assert.ok(systemOf(lastAsked()).startsWith(odd), 'the conversation remembers');
  await save('personalizations', 'me', { enabled: false });
  await bot.ask('again', { conversation_id, prompt_name: 'other' });
  assert.equal(systemOf(lastAsked()), 'Other.', 'the call wins; what is switched off says nothing');
  await save('prompts', 'empty', '');
  await bot.ask('again', { conversation_id, prompt_name: 'empty' });
  assert.deepEqual(lastAsked().messages[0].role, 'user', 'an empty prompt is no system text');

  // Names of a new conversation are not looked at; a name that is nobody's is passed over.
  const made = await bot.call('POST', '/conversations', { prompt_name: 'nowhere', personalization_name: 'nobody' });
  assert.equal(made.status, 200);
  const gone = await bot.ask('hi', { conversation_id: made.body.conversation_id });
  assert.equal(gone.status, 'succeeded');
  assert.match(systemOf(lastAsked()), /user_upload/);
  const kept = await metadataOf(bot, made.body.conversation_id);
  assert.deepEqual([kept.custom_prompt_name, kept.personalization_name], ['nowhere', 'nobody']);

  // Prompts of one account are not there for another.
  const other = await client('prompts-other');
  assert.equal(failure(await other.call('POST', '/messages', { message: 'x', prompt_name: 'odd' })), 404);
});

test('personalization: tools by category, intents', async () => {
  const bot = await client('tools');
  await bot.ask('all');
  const names = () => (lastAsked().tools ?? []).map((tool: { function: { name: string } }) => tool.function.name);
  for (const name of ['read_file', 'write_file', 'todo_write']) assert.ok(names().includes(name), name);
  const content = { disabled_tool_categories: ['file_edit', 'todo', 'no such'], tool_intent_enabled: false };
  await bot.call('POST', '/personalizations', { name: 'few', content });
  model.reply({ toolCalls: [{ id: 'c', name: 'list_files', arguments: '{"path":""}' }] }, { text: 'ok' });
  const { events } = await bot.ask('some', { personalization_name: 'few' });
  assert.ok(names().includes('read_file'));
  for (const name of ['write_file', 'delete_file', 'todo_write']) assert.ok(!names().includes(name), name);
  assert.ok(!JSON.stringify(lastAsked().tools).includes('"intent"'));
  assert.ok(!events.some(({ type }) => type === 'tool_intent'));
});

test('images: sent to models that read them, also with later messages', async () => {
  const bot = await client('images');
  const png = await upload(bot, '图.png', PNG);
  const jpeg = await upload(bot, 'b.jpg', JPEG);
  const { status, events, conversationId } = await bot.ask('这是什么', { images: [png, { path: jpeg }] });
  assert.equal(status, 'succeeded');
  assert.deepEqual(events[0]?.data.images, [png, jpeg]);
  const picture = (bytes: Buffer, type: string) => ({
    type: 'image_url',
    image_url: { url: `data:image/${type};base64,${bytes.toString('base64')}` },
  });
  const sent = [{ type: 'text', text: '这是什么' }, picture(PNG, 'png'), picture(JPEG, 'jpeg')];
  assert.deepEqual(lastAsked().messages.at(-1).content, sent);
  const { data } = (await bot.call('GET', `/conversations/${conversationId}?full=1`)).body;
  assert.deepEqual([data.metadata.has_images, data.messages[0].images], [true, [png, jpeg]]);

  // A message may be a picture alone. What is gone by then is told by its name.
  model.reply(
    { toolCalls: [{ id: 'd', name: 'delete_file', arguments: JSON.stringify({ path: jpeg }) }] },
    { text: 'ok' },
  );
  await bot.ask('', { conversation_id: conversationId, images: [png] });
  assert.deepEqual(lastAsked().messages[1].content, sent);
  assert.deepEqual(lastAsked().messages[3].content, [picture(PNG, 'png')]);
  await bot.ask('and now', { conversation_id: conversationId });
  assert.deepEqual(lastAsked().messages[1].content, [sent[0], sent[1], { type: 'text', text: `[image: ${jpeg}]` }]);
});

test('images: by the path that an upload was answered with; null is none', async () => {
  const bot = await client('image-paths');
  const png = (await upload(bot, 'plain.png', PNG)).replace('user_upload/', '');
  const { events, conversationId } = await bot.ask('look', { images: [png] });
  assert.deepEqual(events[0]?.data.images, [png]);
  const [, image] = lastAsked().messages.at(-1).content;
  assert.equal(image.image_url.url, `data:image/png;base64,${PNG.toString('base64')}`);
  await bot.ask('again', { conversation_id: conversationId, images: null });
  assert.deepEqual(lastAsked().messages[1].content[1], image);
});

test('images: what is none, too large, too many, elsewhere, or for a model that does not read them', async () => {
  const bot = await client('bad-images');
  const png = await upload(bot, 'a.png', PNG);
  const bad = {
    text: await upload(bot, 'text.png', 'not a picture'),
    empty: await upload(bot, 'empty.png', ''),
    cut: await upload(bot, 'cut.png', PNG.subarray(0, 12)),
    svg: await upload(bot, 'a.svg', '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'),
    bmp: await upload(bot, 'a.bmp', Buffer.from('424d3a0000000000000036000000280000000100000001000000', 'hex')),
    slow: await upload(bot, 'slow.jpg', Buffer.concat([Buffer.from('ffd8', 'hex'), Buffer.alloc(9_000_000, 1)])),
    large: await upload(bot, 'large.png', Buffer.concat([PNG, Buffer.alloc(10 << 20)])),
  };
  const refused = async (images: unknown[], more = {}) =>
    assert.equal(failure(await bot.call('POST', '/messages', { message: 'x', images, ...more })), 400, `${images}`);
  for (const path of Object.values(bad)) await refused([png, path]);
  await refused(Array.from({ length: 11 }, () => png));
  for (const path of ['../a.png', '/etc/passwd', 'user_upload', 'user_upload/none.png', '']) await refused([path]);
  await refused([png], { model_key: 'deepseek-v3' });
  const other = await client('bad-images-other');
  assert.equal(failure(await other.call('POST', '/messages', { message: 'x', images: [png] })), 400);
  assert.equal((await bot.call('GET', '/conversations')).body.total, 0);
  assert.equal((await bot.ask('x', { images: [png] })).status, 'succeeded');
});

test('titles are asked for without the tools and prompts of the account', () => {
  for (const { body } of model.openai.requests.filter(wantsTitle)) assert.equal(body.tools, undefined);
});
