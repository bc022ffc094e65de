import { defineRoute, defineRoutes, type RouteSet } from '../../../core/http/route.ts';
import { id, oneOf, Type, text, time } from '../../../core/schema.ts';
import { DOCUMENT_STATUS, type Hit, type KnowledgeDocument } from '../public.ts';
import type { AgentDocuments } from '../service/agent-documents.ts';
import { MAX_RESULTS } from '../service/search.ts';

const TAG = { zh: '智能体的知识', en: 'Knowledge of agents' };
const agentId = () => id('agent', { label: { zh: '智能体', en: 'Agent' } });

const UNSUPPORTED = 40004;
const TOO_LARGE = 40005;
const UNREADABLE = 40006;

/** Every reason why a file is refused or cannot be read, with its code of the document. */
const FILE_CODES = {
  FILE_TYPE_UNSUPPORTED: UNSUPPORTED,
  DOCUMENT_KIND_UNKNOWN: UNSUPPORTED,
  DOCUMENT_LEGACY_WORD: UNSUPPORTED,
  FILE_TOO_LARGE: TOO_LARGE,
  BODY_TOO_LARGE: TOO_LARGE,
  DOCUMENT_TOO_MANY_PAGES: TOO_LARGE,
  DOCUMENT_TOO_LONG: TOO_LARGE,
  DOCUMENT_EXPANDS: TOO_LARGE,
  FILE_EMPTY: UNREADABLE,
  DOCUMENT_NO_TEXT: UNREADABLE,
  DOCUMENT_ENCRYPTED: UNREADABLE,
  DOCUMENT_BROKEN: UNREADABLE,
} as const;

const documentReply = Type.Object({
  id: id('document'),
  agent_id: agentId(),
  filename: Type.String(),
  file_type: oneOf(['pdf', 'txt', 'md']),
  file_size: Type.Integer({ description: 'bytes' }),
  chunk_count: Type.Integer(),
  status: oneOf(DOCUMENT_STATUS),
  created_at: time(),
});
const documentView = (document: KnowledgeDocument) => ({
  id: document.id,
  agent_id: document.agentId,
  filename: document.filename,
  file_type: document.fileType === 'markdown' ? 'md' : document.fileType,
  file_size: document.size,
  chunk_count: document.passages,
  status: document.status,
  created_at: document.uploadedAt,
});

const hitReply = Type.Object({
  document_id: id('document'),
  filename: Type.String(),
  chunk_id: id('chunk'),
  content: Type.String(),
  score: Type.Number({ description: '0-1, descending' }),
});
const hitView = (hit: Hit) => ({
  document_id: hit.documentId,
  filename: hit.filename,
  chunk_id: hit.passageId,
  content: hit.text,
  score: hit.score,
});

/** Source: studio document, section 5. */
export const studioRoutes = (documents: AgentDocuments, maxFileBytes: number): RouteSet[] => [
  defineRoutes('studio', {
    tag: TAG,
    codes: { AGENT_NOT_FOUND: 40401, KNOWLEDGE_QUOTA_EXCEEDED: 40000, ...FILE_CODES },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/knowledge/documents/upload',
        auth: 'user',
        bodyType: 'multipart',
        // A file that is somewhat too large is read to its end, so that every client sees the answer.
        maxBodyBytes: maxFileBytes * 4,
        summary: {
          zh: '上传文档（PDF、TXT、Markdown），返回时即可检索',
          en: 'Uploads a document (PDF, TXT, Markdown); it can be found when the answer arrives',
        },
        body: Type.Object({
          file: Type.Optional(Type.Unsafe<unknown>({ type: 'string', format: 'binary' })),
          agent_id: agentId(),
        }),
        reply: documentReply,
        errors: ['AGENT_NOT_FOUND', 'FILE_MISSING', 'KNOWLEDGE_QUOTA_EXCEEDED', ...Object.keys(FILE_CODES)],
        async handler({ principal, body, files: { file } }) {
          const given = file && { filename: file.filename, content: { path: file.path } };
          return documentView(await documents.upload(principal, body.agent_id, given));
        },
      }),
    ],
  }),
  defineRoutes('studio', {
    tag: TAG,
    codes: { AGENT_NOT_FOUND: 40401 },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/knowledge/search',
        auth: 'user',
        summary: { zh: '在智能体的文档中检索', en: 'Searches the documents of an agent' },
        body: Type.Object({
          query: text({ label: { zh: '检索内容', en: 'Query' }, minLength: 1, maxLength: 1000 }),
          agent_id: agentId(),
          top_k: Type.Integer({
            label: { zh: '返回条数', en: 'Number of hits' },
            minimum: 1,
            maximum: MAX_RESULTS,
            default: 5,
          }),
        }),
        reply: Type.Object({ items: Type.Array(hitReply), total: Type.Integer() }),
        errors: ['AGENT_NOT_FOUND', 'KNOWLEDGE_INDEX_UNAVAILABLE'],
        async handler({ principal, body, request: { signal } }) {
          const { agent_id, query, top_k } = body;
          const hits = await documents.search(principal, agent_id, query, { limit: top_k, signal });
          return { items: hits.map(hitView), total: hits.length };
        },
      }),
    ],
  }),
];
