import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import { DocumentNotFoundError } from '../../../plugins/knowledge/errors.ts';
import type { KnowledgeDocument } from '../../../plugins/knowledge/public.ts';
import { createAgentDocuments } from '../../../plugins/knowledge/service/agent-documents.ts';

const anna: Principal = { kind: 'user', accountId: 'anna', tenantId: 't', roles: ['user'] };
const file = { filename: 'a.txt', content: new TextEncoder().encode('文字') };
const text = { zh: '中', en: 'en' };
const agentGone = new AppError('not_found', 'AGENT_NOT_FOUND', text);

/** Documents of an agent over a knowledge service that says what the test wants. */
function build(
  imported: () => Promise<Partial<KnowledgeDocument>>,
  options: { gone?: () => boolean; source?: string } = {},
) {
  const deleted: string[] = [];
  const documents = createAgentDocuments({
    agents: {
      async get() {
        if (options.gone?.()) throw agentGone;
        return { source: options.source ?? 'account' } as never;
      },
    },
    knowledge: {
      addDocument: async () => ({ id: 'doc-1' }) as KnowledgeDocument,
      imported: imported as () => Promise<KnowledgeDocument>,
      deleteDocument: async (_, id) => void deleted.push(id),
      search: async () => [],
    },
  });
  return { deleted, upload: () => documents.upload(anna, 'agent-1', file), documents };
}

const failed = (code: string) => async () => ({ status: 'failed' as const, error: { code, message: text } });

test('upload: why an import failed is told, and nothing is kept', async () => {
  for (const [code, told, kind] of [
    ['DOCUMENT_NO_TEXT', 'DOCUMENT_NO_TEXT', 'invalid'],
    ['DOCUMENT_BROKEN', 'DOCUMENT_BROKEN', 'invalid'],
    ['NODE_TIMEOUT', 'IMPORT_FAILED', 'internal'],
    ['IMPORT_CANCELLED', 'IMPORT_FAILED', 'internal'],
  ] as const) {
    const { upload, deleted } = build(failed(code));
    await assert.rejects(upload(), { code: told, kind, text });
    assert.deepEqual(deleted, ['doc-1']);
  }
});

test('upload: an agent that goes meanwhile is what is told', async () => {
  let gone = false;
  const later = { gone: () => gone };
  const went = build(async () => {
    gone = true;
    throw new DocumentNotFoundError('doc-1');
  }, later);
  await assert.rejects(went.upload(), { code: 'AGENT_NOT_FOUND' });
  gone = false;
  const late = build(async () => {
    gone = true;
    return { status: 'completed', error: null };
  }, later);
  await assert.rejects(late.upload(), { code: 'AGENT_NOT_FOUND' });
  assert.deepEqual(late.deleted, ['doc-1']);
});

test('upload: a server that shuts down keeps the document, which is imported after the next start', async () => {
  const { upload, deleted } = build(() => Promise.reject(new AppError('unavailable', 'SHUTTING_DOWN', text)));
  await assert.rejects(upload(), { code: 'SHUTTING_DOWN' });
  assert.deepEqual(deleted, []);
});

test('agents of the catalogue have no documents', async () => {
  const { upload, documents } = build(failed('x'), { source: 'catalogue' });
  await assert.rejects(upload(), { code: 'AGENT_NOT_FOUND' });
  const options = { limit: 5, signal: new AbortController().signal };
  await assert.rejects(documents.search(anna, 'agent-picos', 'x', options), { code: 'AGENT_NOT_FOUND' });
});
