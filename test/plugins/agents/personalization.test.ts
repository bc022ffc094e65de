import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalise } from '../../../plugins/agents/profiles/personalization.ts';
import { personalizationText } from '../../../plugins/agents/public.ts';

const known = { models: ['a', 'b'], defaultModel: 'a', toolCategories: ['weather'] };
const of = (content: Record<string, unknown>) => normalise(content, known);

test('personalizationText: nothing when it is off, and nothing when there is nothing to say', () => {
  const content = { self_identify: '小助手', user_name: '老王', considerations: ['简短'] };
  assert.equal(personalizationText(of(content)), '');
  assert.equal(personalizationText(of({ ...content, enabled: false })), '');
  assert.equal(personalizationText(of({ enabled: true })), '');
});

test('personalizationText: what was said, and no more', () => {
  const text = personalizationText(of({ enabled: true, user_name: '老王', considerations: ['简短', '给出依据'] }));
  assert.match(text, /称呼：老王/);
  assert.match(text, /\n {2}- 简短\n {2}- 给出依据$/);
  assert.doesNotMatch(text, /自称|职业|语气/);
  const all = { enabled: true, self_identify: 'A', user_name: 'B', profession: 'C', tone: 'D' };
  assert.deepEqual(
    [...personalizationText(of(all)).matchAll(/：([A-D])$/gm)].map(([, value]) => value),
    ['A', 'B', 'C', 'D'],
  );
});

test('normalise: categories of the registry are known too; a stored value gives way to a given one', () => {
  const stored = of({ disabled_tool_categories: ['weather', 'mcp', 'x'], default_model: 'b', thinking_interval: 9 });
  assert.deepEqual([stored.disabledToolCategories, stored.defaultModel], [['weather', 'mcp'], 'b']);
  const changed = normalise({ thinking_interval: null, default_model: 'c' }, known, stored);
  assert.deepEqual(
    [changed.thinkingInterval, changed.defaultModel, changed.disabledToolCategories],
    [null, 'a', ['weather', 'mcp']],
  );
});
