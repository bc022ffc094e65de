import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestServer } from '../support/app.ts';
import { signIn } from '../support/people.ts';

// Source: studio document, section 3; the values are those of its samples.
const server = await startTestServer({ after });
const as = await signIn(server, 'studio', 'user@example.com');
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const SAMPLE = {
  name: '智能客服助手',
  description: '用于解答常见产品问题',
  prompt_template: '你是一个专业的客服助手...',
  model_config: { provider: 'openai', model_name: 'gpt-4o', temperature: 0.5, max_tokens: 2048 },
};
const make = async (fields: object = {}) => (await as('POST', '/agents', { ...SAMPLE, ...fields })).body.data;
const failure = (code: number, message: RegExp) => (answer: { status: number; body: Record<string, unknown> }) => {
  assert.deepEqual(Object.keys(answer.body), ['code', 'message', 'data']);
  assert.deepEqual([answer.status, answer.body.code, answer.body.data], [Math.floor(code / 100), code, null]);
  assert.match(String(answer.body.message), message);
};

test('POST /agents: the sample', async () => {
  const { status, body } = await as('POST', '/agents', SAMPLE);
  const { created_at, updated_at, ...data } = body.data;
  assert.equal(status, 200);
  assert.deepEqual({ ...body, data }, { code: 200, message: 'success', data: { id: 1, ...SAMPLE } });
  assert.match(created_at, TIME);
  assert.match(updated_at, TIME);
});
