import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import type { Principal } from '../../core/principal.ts';
import { graph } from '../plugins/workflows/harness.ts';
import { callApi } from '../support/api-client.ts';
import { startTestServer } from '../support/app.ts';
import { startServerProcess } from '../support/server-process.ts';

// A server that is killed again and again while executions with branches, loops, sub-workflows and waits are under way.

const KILLS = process.env.KOAGENT_TEST_FULL ? 50 : 8;
const CONFIG = resolve(import.meta.dirname, '..', '..', 'config');

/** A small deterministic generator, so that a failing series can be repeated: KOAGENT_TEST_SEED. */
const random = (() => {
  let state = Number(process.env.KOAGENT_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`# seed ${state}`);
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
})();

const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  return port;
};

/** The project's manifest with the plugin of the counting node, and without limits that a series of requests would reach. */
function manifestWithEffects(folder: string): string {
  const manifest = parse(readFileSync(join(CONFIG, 'manifest.yaml'), 'utf8')) as {
    plugins: Record<string, { from: string; enabled?: boolean }>;
    http: { limits: Record<string, Record<string, number>> };
  };
  for (const plugin of Object.values(manifest.plugins)) plugin.from = resolve(CONFIG, plugin.from);
  manifest.plugins.effects = { from: resolve(import.meta.dirname, '../fixtures/plugins/effects') };
  for (const limits of Object.values(manifest.http.limits)) for (const name of Object.keys(limits)) limits[name] = 1e6;
  const file = join(folder, 'manifest.yaml');
  writeFileSync(file, stringify(manifest));
  return file;
}

test(`kill -9: executions that are cut off by ${KILLS} kills end right, finished effects happen once`, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'koagent-workflow-kill-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const file = join(dataDir, 'effects.log');
  writeFileSync(file, '');
  const env = {
    PORT: String(await freePort()),
    KOAGENT_DATA_DIR: dataDir,
    KOAGENT_MANIFEST: manifestWithEffects(dataDir),
  };
  let child = await startServerProcess(env);
  t.after(() => child.kill());
  const { url } = child;
  const person = { username: 'testuser', password: 'password123' };
  await callApi(url, 'POST', '/auth/register', { body: { ...person, email: 't@example.com' } });
  const login = await callApi(url, 'POST', '/auth/login', { body: new URLSearchParams(person) });
  const token: string = login.body.access_token;
  const api = async (method: string, path: string, body?: unknown) =>
    callApi(url, method, path, { token, ...(body !== undefined && { body }) });

  const effect = (id: string, value: string, ms: number): [string, string, Record<string, unknown>] => [
    id,
    'test.effect',
    { file, ms, value },
  ];
  const sub = graph(['start', effect('x', 'sub {n}', 40), 'end'], 'start>x>end');
  const { id: subId } = (await api('POST', '/workflows', { name: 'sub', ...sub })).body;
  const flow = graph(
    [
      'start',
      ['c', 'condition', { expression: '{n} % 2 == 0' }],
      effect('even', 'even', 60),
      effect('odd', 'odd', 60),
      ['l', 'loop', { items_path: 'items', concurrency: 2 }],
      effect('w', '{item}', 30),
      ['s', 'workflow', { workflow_id: subId, input: { n: '{item}' } }],
      ['d', 'delay', { seconds: 1.2 }],
      ['h', 'human'],
      ['k', 'code', { code: 'return { square: input.n * input.n }' }],
      [
        'm',
        'transform',
        {
          mapping: { square: 'k.square', branch: 'even.did', other: 'odd.did', results: 'l.results', by: 'h.comment' },
        },
      ],
      'end',
    ],
    'start>c>even:true',
    'c>odd:false',
    'start>l>w:body',
    'w>s',
    'l>m:done',
    'start>d>m',
    'start>k>m',
    'start>h>m>end',
    'even>m',
    'odd>m',
  );
  const made = await api('POST', '/workflows', { name: 'flow', ...flow });
  assert.equal(made.status, 201, made.text);
  const items = ['a', 'b', 'c', 'd'];
  const started: { id: string; n: number }[] = [];
  const begin = async () => {
    const n = started.length;
    const { status, body, text } = await api('POST', '/executions', {
      workflow_id: made.body.id,
      input_data: { n, items },
    });
    assert.equal(status, 201, text);
    started.push({ id: body.id, n });
  };
  /** What was said of each execution, and which of it the server has confirmed: that may not be lost. */
  const said = new Map<string, string[]>();
  const confirmed = new Map<string, string>();
  const approve = async (id: string) => {
    const comments = said.get(id) ?? [];
    const comment = `ok ${id} ${comments.length}`;
    said.set(id, [...comments, comment]);
    const { status, text } = await api('POST', `/executions/${id}/nodes/h/approve`, { approved: true, comment });
    if (status === 200) confirmed.set(id, comment);
    // It does not wait yet, or any more: an answer that a kill has cut off may have been stored.
    else assert.match(text, /没有在等待/);
  };
  const approveAll = async () => {
    for (const { id } of started) if (!confirmed.has(id)) await approve(id);
  };

  /** Requests fail when their server is killed; everything else is a finding. */
  const cutOff = (error: unknown) => {
    if (error instanceof assert.AssertionError) throw error;
  };
  const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));
  for (let kill = 0; kill < KILLS; kill += 1) {
    await begin();
    await begin();
    await pause(random() * 1200);
    // Some approvals fall into the moment of the kill.
    const approving = random() < 0.5 ? approveAll().catch(cutOff) : Promise.resolve();
    await pause(random() * 30);
    await child.kill();
    await approving;
    child = await startServerProcess(env);
  }
  const deadline = Date.now() + 120_000;
  for (const { id } of started) {
    for (;;) {
      const { body } = await api('GET', `/executions/${id}`);
      if (body.status === 'completed' || body.status === 'failed') break;
      assert.ok(Date.now() < deadline, `the execution ${id} does not end: ${JSON.stringify(body)}`);
      await approve(id);
      await pause(50);
    }
  }
  for (const { id, n } of started) {
    const { body } = await api('GET', `/executions/${id}`);
    assert.deepEqual(
      [body.status, body.error_message, body.output_data],
      [
        'completed',
        null,
        {
          square: n * n,
          branch: n % 2 === 0 ? 'even' : null,
          other: n % 2 === 0 ? null : 'odd',
          results: items.map((item) => ({ did: `sub ${item}` })),
          by: confirmed.get(id) ?? body.output_data.by,
        },
      ],
      id,
    );
    assert.ok(said.get(id)?.includes(body.output_data.by), id);
  }
  const me = (await api('GET', '/auth/me')).body.id as string;
  await child.stop();

  const { server } = await startTestServer(t, env);
  const scope: Principal = { kind: 'user', accountId: me, tenantId: `account-${me}`, roles: ['user'] };
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const finishedAt = new Map<string, number>();
  let resumed = 0;
  for (const { id, n } of started) {
    const events = await server.runs.events(scope, id, 0, 100_000);
    assert.deepEqual(
      events.map(({ seq }) => seq),
      events.map((_, seq) => seq),
      'the log has no gap',
    );
    resumed += events.filter(({ type }) => type === 'run_resumed').length;
    const finished = events.filter(({ type }) => type === 'node_finished');
    for (const { data, at } of finished) finishedAt.set(`${id}:n:${data.key}`, at.getTime());
    const bodies = items.flatMap((_, at) => [
      `l[${at}]/w`,
      `l[${at}]/s`,
      ...['start', 'x', 'end'].map((each) => `l[${at}]/s/${each}`),
    ]);
    const wanted = ['start', 'c', n % 2 === 0 ? 'even' : 'odd', 'l', 'd', 'k', 'h', 'm', 'end', ...bodies];
    assert.deepEqual(finished.map(({ data }) => String(data.key)).toSorted(), wanted.toSorted());
    for (const type of ['execution_started', 'execution_finished', 'node_skipped']) {
      assert.equal(events.filter((event) => event.type === type).length, 1, type);
    }
  }
  const effects = new Set(lines.map(([key]) => key));
  assert.equal(effects.size, started.length * (1 + 2 * items.length));
  for (const [key = '', time] of lines) {
    assert.ok(Number(time) <= (finishedAt.get(key) ?? 0), `${key} was done again after it had been finished`);
  }
  console.log(
    `# ${KILLS} kills, ${started.length} executions, ${resumed} times taken up, ${lines.length - effects.size} effects repeated`,
  );
  assert.ok(resumed >= KILLS);
});
