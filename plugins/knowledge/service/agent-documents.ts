import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { AgentService } from '../../agents/public.ts';
import { FileRefusedError, importFailed, isUnreadable, UnreadableError } from '../errors.ts';
import type { Hit, KnowledgeDocument, KnowledgeFile, KnowledgeService } from '../public.ts';
import { fileTypeOf, magicOf } from '../reading/kind.ts';
import { headOf } from './files.ts';

/** Extensions of the files that agents take, with what their content has to be. */
const CONTENT: Readonly<Record<string, 'pdf' | 'text'>> = { pdf: 'pdf', txt: 'text', md: 'text', markdown: 'text' };

export type AgentDocuments = ReturnType<typeof createAgentDocuments>;

/** Documents of the agents that people have made. */
export function createAgentDocuments({
  agents,
  knowledge,
}: {
  agents: Pick<AgentService, 'get'>;
  knowledge: Pick<KnowledgeService, 'addDocument' | 'imported' | 'deleteDocument' | 'search'>;
}) {
  /** @throws {AppError} AGENT_NOT_FOUND */
  const checkAgent = async (principal: Principal, agentId: string): Promise<void> => {
    const { source } = await agents.get(principal, agentId);
    if (source !== 'account') throw notAnAgent(agentId);
  };

  /** What became of an import once it has ended. */
  const outcome = async (principal: Principal, agentId: string, documentId: string): Promise<KnowledgeDocument> => {
    let document: KnowledgeDocument;
    try {
      document = await knowledge.imported(principal, documentId);
    } catch (error) {
      // Its run and it may have gone with the agent, which says more.
      await checkAgent(principal, agentId);
      throw error;
    }
    // Documents that come in while the agent is deleted would stay behind it.
    await checkAgent(principal, agentId);
    if (document.status === 'completed') return document;
    const { error } = document;
    throw error !== null && isUnreadable(error.code)
      ? new UnreadableError(error.code, error.message)
      : importFailed(error?.message);
  };

  return {
    /**
     * Imports a file; it can be found when this resolves, and nothing of it is kept when it throws.
     *
     * @throws {AppError} AGENT_NOT_FOUND, KNOWLEDGE_QUOTA_EXCEEDED; FILE_EMPTY, FILE_TOO_LARGE, FILE_TYPE_UNSUPPORTED, DOCUMENT_*
     *   (invalid); IMPORT_FAILED
     */
    async upload(principal: Principal, agentId: string, file: KnowledgeFile | undefined): Promise<KnowledgeDocument> {
      await checkAgent(principal, agentId);
      if (file === undefined) {
        throw new FileRefusedError('FILE_MISSING', { zh: '请选择要上传的文件', en: 'A file is required' });
      }
      await checkType(file);
      const { id } = await knowledge.addDocument(principal, { agentId }, file);
      try {
        return await outcome(principal, agentId, id);
      } catch (error) {
        // A server that shuts down goes on with the import later.
        const later = error instanceof AppError && error.kind === 'unavailable';
        if (!later) await discard(principal, id);
        throw error;
      }
    },

    /** @throws {AppError} AGENT_NOT_FOUND, KNOWLEDGE_INDEX_UNAVAILABLE */
    async search(
      principal: Principal,
      agentId: string,
      query: string,
      options: { limit: number; signal: AbortSignal },
    ): Promise<Hit[]> {
      await checkAgent(principal, agentId);
      return knowledge.search(principal, query, { ...options, scope: { agentId } });
    },
  };

  async function discard(principal: Principal, documentId: string): Promise<void> {
    try {
      await knowledge.deleteDocument(principal, documentId);
    } catch (error) {
      if (!(error instanceof AppError) || error.kind !== 'not_found') throw error;
    }
  }
}

/** The extension decides, and the content has to be what it says. */
async function checkType({ filename, content }: KnowledgeFile): Promise<void> {
  const wanted = CONTENT[fileTypeOf(filename) ?? ''];
  const head = content instanceof Uint8Array ? content : await headOf(content.path);
  // An empty file has an error of its own.
  if (wanted !== undefined && (head.byteLength === 0 || magicOf(head) === wanted)) return;
  throw new FileRefusedError('FILE_TYPE_UNSUPPORTED', {
    zh: '不支持的文件类型，请上传 PDF、TXT 或 Markdown 文件',
    en: 'The type of the file is not supported; upload PDF, TXT or Markdown',
  });
}

/** Agents of the catalogue belong to nobody, and have no documents. */
const notAnAgent = (agentId: string) =>
  new AppError(
    'not_found',
    'AGENT_NOT_FOUND',
    { zh: '智能体不存在', en: 'The agent does not exist' },
    { details: { agentId } },
  );
