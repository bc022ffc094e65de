import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { stringify } from 'yaml';
import { loadModelsConfig } from '../../../config/models.ts';
import type { AppError } from '../../../core/errors.ts';
import { loadCatalogue } from '../../../plugins/agents/catalogue.ts';
import { placesOf } from '../../../plugins/agents/public.ts';
import { startTestServer } from '../../support/app.ts';

const MODELS_FILE = join(import.meta.dirname, '..', '..', '..', 'config', 'models.yaml');
const models = Object.keys(loadModelsConfig(MODELS_FILE, {}).models);
const AGENT = {
  id: 'agent-one',
  name: '一',
  description: '第一个',
  category: '测试',
  icon: 'star',
  models: { 'gpt-4o': { temperature: 0.1, maxTokens: 100 }, 'deepseek-v3': { temperature: 1, maxTokens: 200 } },
  promptTemplate: '你好 {{userInput}}',
};

function folder(t: TestContext, files: Readonly<Record<string, unknown>>): string {
  const dir = mkdtempSync(join(tmpdir(), 'koagent-agents-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(dir, name), typeof content === 'string' ? content : stringify(content));
  }
  return dir;
}

test('the catalogue of the project: twelve agents, each with a place for everything that an answer is made from', () => {
  const catalogue = loadCatalogue({ models });
  assert.equal(catalogue.length, 12);
  for (const { id, promptTemplate, requiresProject, description, tags, tools } of catalogue) {
    assert.deepEqual([...placesOf(promptTemplate)].sort(), ['background', 'context', 'question'], id);
    assert.ok(promptTemplate.length > 600, `${id}: ${promptTemplate.length}`);
    assert.ok(description && tags.length >= 2, id);
    assert.ok(tools.names?.includes('category:knowledge'), id);
    // A Markdown table or list that lost its line ends would be one line.
    assert.ok(promptTemplate.split('\n').length > 25, id);
    if (requiresProject) assert.ok(!['agent-picos', 'agent-topic-evaluation'].includes(id));
  }
  const withProject = catalogue.filter(({ requiresProject }) => requiresProject).map(({ id }) => id);
  assert.deepEqual(withProject, ['agent-data-management-plan', 'agent-protocol-writing']);
});

test('a file: defaults, the first model answers, the order of files', (t) => {
  const files = {
    'agent-one.yaml': AGENT,
    'agent-b.yml': { ...AGENT, id: 'agent-b' },
    'agent-a.yaml': { ...AGENT, id: 'agent-a' },
    'agent-first.yaml': { ...AGENT, id: 'agent-first', order: 1, status: 'inactive', requiresProject: true },
    'notes.txt': 'not an agent',
  };
  const catalogue = loadCatalogue({ folder: folder(t, files), models });
  assert.deepEqual(
    catalogue.map(({ id }) => id),
    ['agent-first', 'agent-a', 'agent-b', 'agent-one'],
  );
  const { createdAt, updatedAt, ...one } = catalogue[3] ?? assert.fail();
  assert.ok(createdAt instanceof Date && updatedAt instanceof Date);
  assert.deepEqual(one, {
    ...AGENT,
    source: 'catalogue',
    model: { name: 'gpt-4o', temperature: 0.1, maxTokens: 100 },
    status: 'active',
    ragEnabled: true,
    fileUploadEnabled: false,
    requiresProject: false,
    outputFormat: 'text',
    tags: [],
    tools: { names: [] },
    toolSettings: {},
    maxIterations: 8,
  });
});

test('what is wrong with a file is told with its name and the field', (t) => {
  const { name: _, ...nameless } = AGENT;
  const model = { temperature: 3, maxTokens: 1 };
  const cases: [unknown, RegExp][] = [
    [nameless, /agent-one\.yaml: field name is required/],
    [{ ...AGENT, name: 5 }, /agent-one\.yaml: field name /],
    [{ ...AGENT, colour: 'red' }, /agent-one\.yaml: field colour is unknown/],
    [{ ...AGENT, id: 'agent-two' }, /agent-one\.yaml: field id must be the name of the file/],
    [{ ...AGENT, id: '17' }, /agent-one\.yaml: field id /],
    [{ ...AGENT, status: 'asleep' }, /agent-one\.yaml: field status /],
    [{ ...AGENT, models: {} }, /agent-one\.yaml: field models /],
    [
      { ...AGENT, models: { 'gpt-9': { temperature: 0, maxTokens: 1 } } },
      /agent-one\.yaml: field models\.gpt-9 is no configured model; there are deepseek-v3/,
    ],
    [{ ...AGENT, models: { 'gpt-4o': model } }, /agent-one\.yaml: field models\.gpt-4o\.temperature /],
    [{ ...AGENT, tags: 'a' }, /agent-one\.yaml: field tags /],
    [{ ...AGENT, promptTemplate: '' }, /agent-one\.yaml: field promptTemplate /],
    ['', /agent-one\.yaml: field id is required/],
    ['- a', /agent-one\.yaml: field \(whole\) /],
    ['id: [', /agent-one\.yaml: cannot be read: /],
  ];
  for (const [content, message] of cases) {
    assert.throws(
      () => loadCatalogue({ folder: folder(t, { 'agent-one.yaml': content }), models }),
      (error: AppError) => {
        assert.equal(error.code, 'AGENT_CATALOGUE_INVALID');
        assert.match(error.text.en, message);
        assert.match(error.text.zh, /^智能体目录 agent-one\.yaml：/);
        return true;
      },
      JSON.stringify(content),
    );
  }
  assert.throws(() => loadCatalogue({ folder: '/no/such/folder', models }), /\/no\/such\/folder.*cannot be read/);
});

test('the folder is an option of the plugin; a wrong file stops the start', async (t) => {
  const plugins = join(import.meta.dirname, '..', '..', '..', 'plugins');
  const manifest = (dir: string) =>
    join(
      folder(t, {
        'manifest.yaml': {
          plugins: {
            auth: { from: join(plugins, 'auth') },
            agents: { from: join(plugins, 'agents'), options: { folder: dir } },
          },
        },
      }),
      'manifest.yaml',
    );
  const { call } = await startTestServer(t, { KOAGENT_MANIFEST: manifest(folder(t, { 'agent-one.yaml': AGENT })) });
  const body = { email: 'a@example.com', password: 'Abc12345', name: 'a' };
  await call('POST', '/auth/register', { body });
  const { accessToken: token } = (await call('POST', '/auth/login', { body })).body.data;
  const { data } = (await call('GET', '/agents', { token })).body;
  assert.deepEqual(
    data.map(({ id }: { id: string }) => id),
    ['agent-one'],
  );
  const wrong = manifest(folder(t, { 'agent-one.yaml': { ...AGENT, icon: 1 } }));
  await assert.rejects(startTestServer(t, { KOAGENT_MANIFEST: wrong }), { code: 'AGENT_CATALOGUE_INVALID' });
});
