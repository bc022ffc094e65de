import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../../core/log.ts';
import { Type } from '../../../core/schema.ts';
import type { ToolDefinition } from '../../../core/tool.ts';
import { defineTool } from '../../../core/tool.ts';
import { loadCatalogue } from '../../../plugins/agents/catalogue.ts';
import { createAgentHost } from '../../../plugins/agents/host.ts';
import type { Agent } from '../../../plugins/agents/public.ts';
import { createToolService } from '../../../runtime/tools/index.ts';

const [picos] = loadCatalogue({ models: ['deepseek-v3', 'qwen3-72b', 'gemini-pro'] });
assert.ok(picos);
const own: Agent = {
  ...picos,
  id: 'own-1',
  source: 'account',
  model: { ...picos.model, provider: 'local', name: 'm' },
};
const principal = { kind: 'user', accountId: 'anna', tenantId: 't', roles: ['user'] } as const;

const tool = (name: string, category: string, available = true): ToolDefinition =>
  defineTool({
    name,
    category,
    description: name,
    parameters: Type.Object({}),
    effect: 'reads',
    available: () => available,
    call: async () => 'done',
  });

/** The profile of an agent where these tools exist and these model keys have credentials. */
async function profile(agent: Agent, tools: ToolDefinition[] = [], usable: string[] = []) {
  const registry = createToolService({ log: createLogger('silent') });
  for (const each of tools) registry.add(each);
  const host = createAgentHost({
    agents: { get: async (_, id) => ({ ...agent, id }) },
    models: { resolve: (key) => ({ offline: !usable.includes(String(key)) }) as never },
    tools: registry,
    numbers: { idOf: async (_, number) => (number === 7 ? 'own-1' : undefined) },
  });
  return host.profile({ principal }, ' 7 ');
}

test('the tools of an agent as agent nodes have them: what is selected, registered and available, with its settings', async () => {
  const both = {
    ...own,
    tools: { names: ['category:knowledge', 'fetch'] },
    toolSettings: { fetch: { methods: ['GET', 'POST'] } },
  };
  const all = [tool('search_knowledge', 'knowledge'), tool('fetch', 'network'), tool('todo', 'todo')];
  const fetch = { type: 'fetch', methods: ['GET', 'POST'] };
  // Agents of accounts search their own documents, those of the catalogue all that the person has.
  const search = { type: 'search_knowledge' };
  assert.deepEqual((await profile(both, all)).tools, [fetch, { ...search, knowledge_base_ids: [] }]);
  assert.deepEqual((await profile({ ...both, source: 'catalogue' }, all)).tools, [fetch, search]);
  assert.equal((await profile(both)).id, 'own-1');
  assert.deepEqual((await profile({ ...own, tools: { names: [] } }, all)).tools, []);
  assert.deepEqual((await profile(both)).tools, []);
  assert.deepEqual((await profile(both, [tool('search_knowledge', 'knowledge', false)])).tools, []);
});

test('the model: an account’s own choice, the first of the catalogue’s with credentials, else none', async () => {
  const chosen = ({ provider, model, temperature, maxTokens }: Awaited<ReturnType<typeof profile>>) => [
    provider,
    model,
    temperature,
    maxTokens,
  ];
  assert.deepEqual(chosen(await profile(own)), ['local', 'm', 0.3, 2500]);
  assert.deepEqual(chosen(await profile(picos, [], ['qwen3-72b'])), [undefined, 'qwen3-72b', 0.4, 2500]);
  assert.deepEqual(chosen(await profile(picos)), [undefined, undefined, 0.3, 2500]);
});
