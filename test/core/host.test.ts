import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createHost, provide } from '../../core/host.ts';
import { createLogger } from '../../core/log.ts';
import { importPlugins, readManifest } from '../../core/manifest.ts';
import { definePlugin, type PluginDefinition } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { defineService } from '../../core/service.ts';

const clockKey = defineService<{ now(): number }>('clock');
const greeterKey = defineService<{ greet(name: string): string }>('greeter');
const log = createLogger('silent');
const base = { log, dataDir: tmpdir(), provided: [provide(clockKey, { now: () => 7 })] };
const entry = (definition: unknown, options: Record<string, unknown> = {}) => ({
  definition: definition as PluginDefinition,
  options,
});
const host = (enabled: ReturnType<typeof entry>[], disabled: unknown[] = []) =>
  createHost({ ...base, plugins: { enabled, disabled: disabled as PluginDefinition[] } });

const greeter = definePlugin({
  name: 'greeter',
  config: Type.Object({ word: Type.String({ default: 'hello' }) }),
  requires: { clock: clockKey },
  provides: { greeter: greeterKey },
  setup: ({ config, services, onDispose }) => {
    onDispose('greeter: first', () => void disposed.push('greeter'));
    return { services: { greeter: { greet: (name) => `${config.word} ${name} at ${services.clock.now()}` } } };
  },
});
const user = definePlugin({
  name: 'user',
  requires: { greeter: greeterKey },
  setup: ({ services, onDispose }) => {
    onDispose('user: breaks', () => {
      throw new Error('cannot end');
    });
    onDispose('user: last', () => void disposed.push('user'));
    greeted.push(services.greeter.greet('you'));
    return {};
  },
});
const disposed: string[] = [];
const greeted: string[] = [];

test('plugins are set up after those they need, and disposed in reverse although one disposer fails', async () => {
  const made = await host([entry(user), entry(greeter, { word: 'good day' })]);
  assert.deepEqual(greeted, ['good day you at 7']);
  assert.equal(made.find(greeterKey)?.greet('x'), 'good day x at 7');
  await made.dispose();
  assert.deepEqual(disposed, ['user', 'greeter']);
});

test('a plugin whose need is disabled is refused with both names', async () => {
  await assert.rejects(host([entry(user)], [greeter]), {
    code: 'PLUGIN_NEEDS_MISSING',
    message: /user needs the disabled plugin greeter/,
  });
  await assert.rejects(host([entry(user)]), { code: 'PLUGIN_NEEDS_MISSING', message: /service "greeter"/ });
});

test('a circle of needs is refused with the chain', async () => {
  const [a, b] = [defineService<object>('a'), defineService<object>('b')];
  const one = definePlugin({ name: 'one', requires: { a }, provides: { b }, setup: () => ({ services: { b: {} } }) });
  const two = definePlugin({ name: 'two', requires: { b }, provides: { a }, setup: () => ({ services: { a: {} } }) });
  await assert.rejects(host([entry(one), entry(two)]), { code: 'PLUGIN_CYCLE', message: /one -> two -> one/ });
});

test('options are checked: the plugin and the field are named', async () => {
  await assert.rejects(host([entry(greeter, { word: 5 })]), {
    code: 'PLUGIN_OPTIONS_INVALID',
    message: /greeter: option word/,
  });
  await assert.rejects(host([entry(greeter, { wrod: 'x' })]), {
    code: 'PLUGIN_OPTIONS_INVALID',
    message: /greeter: option wrod is unknown/,
  });
});

test('a setup that fails disposes what was set up before it', async () => {
  disposed.length = 0;
  const broken = definePlugin({
    name: 'broken',
    requires: { greeter: greeterKey },
    setup: () => {
      throw new Error('no');
    },
  });
  await assert.rejects(host([entry(broken), entry(greeter)]), /no/);
  assert.deepEqual(disposed, ['greeter']);
});

test('a service offered twice is refused', async () => {
  const other = definePlugin({
    name: 'other',
    provides: { greeter: greeterKey },
    setup: () => ({ services: { greeter: { greet: () => '' } } }),
  });
  await assert.rejects(host([entry(greeter), entry(other)]), { code: 'SERVICE_TWICE' });
});

const manifestFile = (text: string) => {
  const folder = mkdtempSync(join(tmpdir(), 'koagent-manifest-'));
  writeFileSync(join(folder, 'manifest.yaml'), text);
  return { folder, file: join(folder, 'manifest.yaml') };
};

test('manifest: defaults are filled, and mistakes are named', () => {
  const { file } = manifestFile('plugins: { a: { from: ./a } }');
  const manifest = readManifest(file);
  assert.deepEqual(manifest.plugins.a, { from: './a', enabled: true, options: {} });
  assert.deepEqual(
    [manifest.http.limits.research.user, manifest.http.limits.research.admin, manifest.http.limits.research.login],
    [100, 500, 5],
  );
  assert.equal(manifest.http.limits.lowcode.user, 1200);
  for (const [text, message] of [
    ['plugins: [', /YAML/],
    ['plugins: { a: { from: 5 } }', /plugins\.a\.from/],
    ['plugins: {}\nhttp: { limits: { research: { user: 0 } } }', /http\.limits\.research\.user/],
    ['plugins: {}\nhttp: { limit: {} }', /http\.limit is unknown/],
    ['http: {}', /plugins is required/],
  ] as const) {
    assert.throws(() => readManifest(manifestFile(text).file), { code: 'MANIFEST_INVALID', message });
  }
});

test('manifest: a plugin may be a folder outside the project or an npm package', async () => {
  const { folder, file } = manifestFile(
    'plugins: { near: { from: ./near }, packed: { from: packed-plugin }, off: { from: ./missing, enabled: false } }',
  );
  mkdirSync(join(folder, 'near'));
  writeFileSync(
    join(folder, 'near', 'index.ts'),
    "const name: string = 'near'; export default { name, setup: () => ({}) };",
  );
  mkdirSync(join(folder, 'node_modules', 'packed-plugin'), { recursive: true });
  writeFileSync(
    join(folder, 'node_modules', 'packed-plugin', 'package.json'),
    '{"name":"packed-plugin","type":"module","main":"main.js"}',
  );
  writeFileSync(
    join(folder, 'node_modules', 'packed-plugin', 'main.js'),
    "export default { name: 'packed', setup: () => ({}) };",
  );
  const { enabled } = await importPlugins(readManifest(file));
  assert.deepEqual(
    enabled.map(({ definition }) => definition.name),
    ['near', 'packed'],
  );
  const wrong = manifestFile('plugins: { other: { from: ./missing } }');
  await assert.rejects(importPlugins(readManifest(wrong.file)), { code: 'PLUGIN_NOT_FOUND', message: /other/ });
});
