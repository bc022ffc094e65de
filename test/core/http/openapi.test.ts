import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { documentedRoutes, pathShape } from '../../../core/contracts/documented.ts';
import { startTestServer } from '../../support/app.ts';

/** What this project adds to the documents; an addition never takes a path that one of them names. */
const ADDITIONS: Readonly<Record<string, readonly string[]>> = {
  lowcode: [
    'GET /node-types',
    'GET /workflows/:workflow_id/versions/:a/diff/:b',
    'POST /executions/:execution_id/cancel',
    'POST /executions/:execution_id/retry',
    'GET /executions/:execution_id/events',
    'GET /executions/:execution_id/nodes',
    'GET /executions/:execution_id/nodes/:node_id',
    'POST /executions/:execution_id/nodes/:node_id/approve',
  ],
  research: ['GET /admin/audit-log', 'GET /admin/usage', 'GET /users/me/usage'],
};

interface Document extends Record<string, unknown> {
  openapi: string;
  paths: Record<
    string,
    Record<string, { operationId: string; security?: unknown; responses: Record<string, unknown> }>
  >;
}

test('each contract with routes has a valid OpenAPI 3.1 document with exactly its routes', async (t) => {
  const { url, server } = await startTestServer(t);
  const names = [...new Set(server.app.host.routes.map(({ contract }) => contract)), 'tasks'];
  for (const name of new Set(names)) {
    const document = (await (await fetch(`${url}/openapi/${name}.json`)).json()) as Document;
    const result = await new Validator().validate(structuredClone(document));
    assert.equal(result.valid, true, `${name}: ${JSON.stringify(result.errors)?.slice(0, 2000)}`);
    assert.equal(document.openapi, '3.1.0');
    const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
    const ids = operations.map(({ operationId }) => operationId);
    assert.equal(new Set(ids).size, ids.length, `${name}: operation ids are unique`);
  }
  const reports = (await (await fetch(`${url}/openapi/reports.json`)).json()) as Document;
  assert.equal(Object.values(reports.paths).flatMap((path) => Object.keys(path)).length, 13);
  assert.ok(reports.paths['/api/v1/tasks/{taskId}/progress']?.get?.security);
});

test('every declared route is one that its document names, or a listed addition', async (t) => {
  const { server } = await startTestServer(t);
  const declared = new Set<string>();
  for (const { contract, routes } of server.app.host.routes) {
    for (const { method, path } of routes) {
      const route = `${method} ${path}`;
      declared.add(`${contract} ${route}`);
      const owners = documentedRoutes.get(`${method} ${pathShape(path)}`) ?? [];
      const added = ADDITIONS[contract]?.includes(route) === true;
      assert.ok(owners.includes(contract) || added, `${route} is not documented for ${contract}`);
      assert.ok(!added || owners.length === 0, `${route} is an addition on a documented path`);
    }
  }
  for (const [contract, routes] of Object.entries(ADDITIONS)) {
    for (const route of routes) assert.ok(declared.has(`${contract} ${route}`), `${route} is listed and not there`);
  }
});

test('Swagger UI and ReDoc are served without any outside address', async (t) => {
  const { url } = await startTestServer(t);
  for (const path of ['/docs', '/redoc', '/redoc?api=studio']) {
    const page = await fetch(url + path);
    const html = await page.text();
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'self'/);
    const sources = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => String(source));
    for (const source of sources.filter((source) => !source.startsWith('data:'))) {
      assert.match(source, /^\//, source);
      const asset = await fetch(url + source);
      assert.equal(asset.status, 200, source);
      assert.ok((await asset.arrayBuffer()).byteLength > 0, source);
    }
    assert.ok(sources.length > 2);
  }
});

test('fields with a default may be left out of requests, and are always in answers', async (t) => {
  const { url } = await startTestServer(t);
  const document = (await (await fetch(`${url}/openapi/studio.json`)).json()) as Record<string, unknown>;
  // biome-ignore lint/suspicious/noExplicitAny: looks deep into a document of known shape
  const { post } = (document.paths as any)['/api/v1/agents'];
  const sent = post.requestBody.content['application/json'].schema.properties.model_config;
  assert.deepEqual([sent.required, sent.properties.temperature.default], [['provider', 'model_name'], 0.7]);
  const answered = post.responses['200'].content['application/json'].schema.properties.data.properties.model_config;
  assert.deepEqual(answered.required, ['provider', 'model_name', 'temperature', 'max_tokens']);
});
