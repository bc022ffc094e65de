import { defineRoute, defineRoutes, ReplyWith } from '../../../core/http/route.ts';
import { id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import { FileRefusedError } from '../errors.ts';
import { DOCUMENT_STATUS, type KnowledgeBase, type KnowledgeDocument, type KnowledgeService } from '../public.ts';

const base = () => id('knowledge_base', { label: { zh: '知识库', en: 'Knowledge base' } });
const document = () => id('document', { label: { zh: '文档', en: 'Document' } });
const quota = Type.Object({ used: Type.Integer(), limit: Type.Integer() });
const status = oneOf(DOCUMENT_STATUS);

/** Mebibytes with one decimal. */
const megabytes = (bytes: number) => Math.round((bytes / 1_048_576) * 10) / 10;

const baseView = ({ totalBytes, fileLimit, ...rest }: KnowledgeBase) => ({
  ...rest,
  totalSizeMB: megabytes(totalBytes),
  quota: { used: rest.fileCount, limit: fileLimit },
});

const documentView = (language: 'zh' | 'en') => (found: KnowledgeDocument) => ({
  id: found.id,
  filename: found.filename,
  fileType: found.fileType,
  fileSizeMB: megabytes(found.size),
  status: found.status,
  progress: found.progress,
  segmentsCount: found.status === 'completed' ? found.passages : 0,
  tokensCount: found.status === 'completed' ? found.tokens : 0,
  uploadedAt: found.uploadedAt,
  processedAt: found.processedAt,
  ...(found.error && { errorMessage: found.error.message[language] }),
});

/** Source: research document, section 6. */
export const researchRoutes = (knowledge: KnowledgeService, maxFileBytes: number) =>
  defineRoutes('research', {
    tag: { zh: '知识库', en: 'Knowledge bases' },
    codes: {
      KNOWLEDGE_BASE_NOT_FOUND: 'NOT_FOUND',
      KNOWLEDGE_DOCUMENT_NOT_FOUND: 'NOT_FOUND',
      KNOWLEDGE_QUOTA_EXCEEDED: 'QUOTA_EXCEEDED',
      KNOWLEDGE_BASE_NAME_TAKEN: 'CONFLICT',
    },
    routes: [
      defineRoute({
        method: 'GET',
        path: '/knowledge-bases',
        auth: 'user',
        summary: { zh: '知识库列表', en: 'The knowledge bases of the caller' },
        reply: Type.Array(
          Type.Object({
            id: base(),
            name: Type.String(),
            description: Type.String(),
            fileCount: Type.Integer(),
            totalSizeMB: Type.Number(),
            quota,
            createdAt: time(),
            updatedAt: time(),
          }),
        ),
        async handler({ principal }) {
          const { items, limit } = await knowledge.listBases(principal);
          return new ReplyWith(items.map(baseView), { quota: { used: items.length, limit } });
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/knowledge-bases',
        auth: 'user',
        status: 201,
        summary: { zh: '创建知识库', en: 'Makes a knowledge base' },
        body: Type.Object({
          name: text({ label: { zh: '知识库名称', en: 'Name' }, minLength: 1, maxLength: 50 }),
          description: Type.Optional(text({ label: { zh: '描述', en: 'Description' }, maxLength: 500 })),
        }),
        reply: Type.Object({
          id: base(),
          name: Type.String(),
          description: Type.String(),
          fileCount: Type.Integer(),
          difyDatasetId: Type.String(),
          createdAt: time(),
        }),
        errors: ['KNOWLEDGE_QUOTA_EXCEEDED', 'KNOWLEDGE_BASE_NAME_TAKEN'],
        async handler({ principal, body }) {
          const { datasetId, ...made } = await knowledge.createBase(principal, body);
          return { ...made, difyDatasetId: datasetId };
        },
      }),
      defineRoute({
        method: 'DELETE',
        path: '/knowledge-bases/:id',
        auth: 'user',
        status: 204,
        summary: { zh: '删除知识库及其全部文档', en: 'Deletes a knowledge base with all of its documents' },
        params: Type.Object({ id: base() }),
        errors: ['KNOWLEDGE_BASE_NOT_FOUND'],
        handler: ({ principal, params }) => knowledge.deleteBase(principal, params.id),
      }),
      defineRoute({
        method: 'POST',
        path: '/knowledge-bases/:id/documents',
        auth: 'user',
        status: 201,
        bodyType: 'multipart',
        // A file that is somewhat too large is told so by the documented code; beyond that the transfer is cut off.
        maxBodyBytes: maxFileBytes * 4,
        summary: { zh: '上传文档，后台处理', en: 'Uploads a document, which is imported in the background' },
        params: Type.Object({ id: base() }),
        body: Type.Object({
          file: Type.Optional(Type.Unsafe<unknown>({ type: 'string', format: 'binary' })),
          filename: Type.Optional(text({ label: { zh: '文件名', en: 'File name' }, minLength: 1, maxLength: 255 })),
        }),
        reply: Type.Object({
          id: document(),
          filename: Type.String(),
          fileType: Type.String(),
          fileSizeBytes: Type.Integer(),
          status,
          progress: Type.Integer(),
          uploadedAt: time(),
        }),
        errors: [
          'KNOWLEDGE_BASE_NOT_FOUND',
          'KNOWLEDGE_QUOTA_EXCEEDED',
          'FILE_MISSING',
          'FILE_EMPTY',
          'FILE_TOO_LARGE',
          'FILE_TYPE_UNSUPPORTED',
        ],
        async handler({ principal, params, body, files }) {
          const { file } = files;
          if (file === undefined) {
            await knowledge.getBase(principal, params.id);
            throw new FileRefusedError('FILE_MISSING', { zh: '请选择要上传的文件', en: 'A file is required' });
          }
          const scope = { knowledgeBaseId: params.id };
          const filename = body.filename ?? file.filename;
          const made = await knowledge.addDocument(principal, scope, { filename, content: { path: file.path } });
          return { ...made, fileSizeBytes: made.size };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/knowledge-bases/:id/documents',
        auth: 'user',
        summary: { zh: '文档列表', en: 'The documents of a knowledge base' },
        params: Type.Object({ id: base() }),
        reply: Type.Array(
          Type.Object({
            id: document(),
            filename: Type.String(),
            fileType: Type.String(),
            fileSizeMB: Type.Number(),
            status,
            progress: Type.Integer(),
            segmentsCount: Type.Integer(),
            tokensCount: Type.Integer(),
            uploadedAt: time(),
            processedAt: nullable(time()),
            errorMessage: Type.Optional(Type.String()),
          }),
        ),
        errors: ['KNOWLEDGE_BASE_NOT_FOUND'],
        handler: async ({ principal, params, request }) =>
          (await knowledge.listDocuments(principal, { knowledgeBaseId: params.id })).map(
            documentView(request.language),
          ),
      }),
      defineRoute({
        method: 'DELETE',
        path: '/knowledge-bases/:kbId/documents/:docId',
        auth: 'user',
        status: 204,
        summary: { zh: '删除文档', en: 'Deletes a document' },
        params: Type.Object({ kbId: base(), docId: document() }),
        errors: ['KNOWLEDGE_BASE_NOT_FOUND', 'KNOWLEDGE_DOCUMENT_NOT_FOUND'],
        handler: ({ principal, params }) =>
          knowledge.deleteDocument(principal, params.docId, { knowledgeBaseId: params.kbId }),
      }),
    ],
  });
