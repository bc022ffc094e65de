import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseModelsConfig } from '../../../config/models.ts';
import { attempt } from '../../../runtime/models/attempt.ts';
import type { Clock } from '../../../runtime/models/clock.ts';
import { createRegistry } from '../../../runtime/models/registry.ts';
import type { ModelSource } from '../../../runtime/models/source.ts';

const found = createRegistry(
  parseModelsConfig(
    `
default: main
offlineFallback: false
defaults:
  contextWindow: 32768
  maxOutputTokens: 4096
  timeouts: { firstTokenMs: 1000, idleMs: 1000, totalMs: 30000 }
  retry: { maxAttempts: 1, baseDelayMs: 10, maxDelayMs: 40, jitter: 0 }
providers:
  fake: { kind: openai, baseUrl: 'http://127.0.0.1:1/v1', apiKeyEnv: KEY }
models:
  main: { name: Main, provider: fake, model: main-model }
`,
    { KEY: 'sk-test-0123456789abcdef' },
  ),
).find('main', 'error');

test('time limits begin when the libraries are loaded, not before', async () => {
  let now = 0;
  const begun: number[] = [];
  const clock: Clock = {
    now: () => now,
    after() {
      begun.push(now);
      return () => undefined;
    },
  };
  const source: ModelSource = Object.assign(
    async function* () {
      yield { type: 'text' as const, text: 'ok' };
      yield { type: 'finish' as const, reason: 'stop' as const };
    },
    {
      async ready() {
        now = 5000;
      },
    },
  );
  const events = [];
  const request = { messages: [{ role: 'user' as const, content: 'x' }] };
  for await (const event of attempt(source, found, request, { signal: new AbortController().signal, clock }))
    events.push(event.type);
  assert.deepEqual(events, ['text', 'usage', 'finish']);
  assert.equal(begun[0], 5000);
});
