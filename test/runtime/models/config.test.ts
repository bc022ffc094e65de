import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModelsConfig, parseModelsConfig, redactModelsConfig } from '../../../config/models.ts';
import { AppError } from '../../../core/errors.ts';

const path = new URL('../../../config/models.yaml', import.meta.url);

test('the shipped file: without any variable everything is answered by the offline model', () => {
  const config = loadModelsConfig(path, {});
  assert.equal(config.offlineFallback, true);
  assert.equal(config.defaultKey, 'deepseek-v3');
  for (const key of [
    'deepseek-v3',
    'deepseek-chat',
    'qwen3-72b',
    'gemini-pro',
    'gpt-4o',
    'gpt-3.5-turbo',
    'kimi',
    'local',
  ]) {
    assert.equal(config.models[key]?.available, false, key);
  }
  assert.equal(config.models.offline?.available, true);
  assert.equal(config.aliases.default_gpt4, 'gpt-4o');
  assert.deepEqual(config.models.local?.missing, ['LOCAL_MODEL_BASE_URL']);
  assert.deepEqual(config.models['azure-gpt-4o']?.missing, ['AZURE_OPENAI_API_KEY', 'AZURE_OPENAI_ENDPOINT']);
  assert.deepEqual(structuredClone(config), config);
});

test('environment: one key makes its models available and one of them the default', () => {
  const config = loadModelsConfig(path, {
    QWEN_API_KEY: ' sk-q ',
    QWEN_BASE_URL: 'https://u:pass@qwen.example/v1/?token=abc',
    QWEN_MODEL: 'qwen-max',
    OPENAI_API_KEY: '  ',
    OFFLINE_FALLBACK: 'false',
  });
  assert.equal(config.defaultKey, 'qwen3-72b');
  assert.equal(config.offlineFallback, false);
  assert.equal(config.models['qwen3-72b']?.model, 'qwen-max');
  assert.equal(config.models['gpt-4o']?.available, false);
  assert.equal(config.providers.qwen?.apiKey, 'sk-q');
  const shown = JSON.stringify(redactModelsConfig(config));
  assert.doesNotMatch(shown, /sk-q|pass|token=/);
  assert.match(shown, /qwen\.example/);
  assert.equal(config.providers.qwen?.apiKey, 'sk-q', 'the original is untouched');

  const local = loadModelsConfig(path, { LOCAL_MODEL_BASE_URL: 'http://127.0.0.1:11434/v1', DEFAULT_MODEL: 'local' });
  assert.equal(local.defaultKey, 'local');
  assert.equal(local.models.local?.available, true);
  assert.equal(local.models.local?.timeouts.firstTokenMs, 180_000);
  assert.equal(local.models.local?.timeouts.idleMs, 60_000);
});

const base = `
default: a
offlineFallback: true
defaults:
  contextWindow: 1000
  maxOutputTokens: 5000
  timeouts: { firstTokenMs: 1, idleMs: 1, totalMs: 1 }
  retry: { maxAttempts: 1, baseDelayMs: 0, maxDelayMs: 0, jitter: 0 }
providers:
  p: { kind: openai, baseUrl: 'http://127.0.0.1/v1', apiKeyEnv: KEY }
models:
  a: { name: A, provider: p, model: m }
`;

test('an answer is never longer than the window', () => {
  assert.equal(parseModelsConfig(base, {}).models.a?.maxOutputTokens, 1000);
});

test('mistakes are refused, and the message names the field', async (t) => {
  const cases: [change: [RegExp | string, string], field: string, env?: Record<string, string>][] = [
    [['default: a', 'default: b'], 'default.0'],
    [['default: a', 'default: [a, b]'], 'default.1'],
    [['default: a', 'default: a\ndefaultEnv: D'], 'D', { D: 'zz' }],
    [['offlineFallback: true', 'offlineFallback: yes please'], 'offlineFallback'],
    [['offlineFallback: true', 'offlineFallback: true\nofflineFallbackEnv: OFF'], 'OFF', { OFF: 'maybe' }],
    [['provider: p', 'provider: q'], 'models.a.provider'],
    [['model: m }', 'model: m, fallback: [a] }'], 'models.a.fallback.0'],
    [['model: m }', 'modle: m }'], 'models.a.modle'],
    [['model: m }', 'model: m, contextWindow: -1 }'], 'models.a.contextWindow'],
    [['kind: openai', 'kind: magic'], 'providers.p.kind'],
    [["'http://127.0.0.1/v1'", 'ftp://x'], 'providers.p.baseUrl'],
    [["'http://127.0.0.1/v1'", "'http://127.0.0.1/v1', baseUrlEnv: URL"], 'URL', { URL: 'not an address' }],
    [[', apiKeyEnv: KEY', ''], 'providers.p.apiKeyEnv'],
    [['kind: openai', 'kind: azure'], 'providers.p.apiVersion'],
    [['models:', 'aliases: { a: a, x: nobody }\nmodels:'], 'aliases.a'],
    [['  a: {', '  default: {'], 'models.default'],
    [[/^default: a/m, 'default: ['], 'line'],
    [[/[\s\S]+/, ''], '(file)'],
  ];
  for (const [[from, to], field, env = {}] of cases) {
    await t.test(`${field} (${String(to).trim().slice(0, 40)})`, () => {
      assert.throws(
        () => parseModelsConfig(base.replace(from, to), env),
        (error: unknown) => {
          assert.ok(error instanceof AppError);
          assert.equal(error.code, 'MODELS_CONFIG_INVALID');
          const fields = error.fields?.map((each) => each.field) ?? [];
          assert.ok(
            fields.some((each) => each === field || each.startsWith(`${field} `)),
            fields.join(),
          );
          assert.ok(error.message.includes('models.yaml'));
          return true;
        },
      );
    });
  }
});
