import { join } from 'node:path';
import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { modelService } from '../../runtime/models/index.ts';
import { type HostCaller, poolService } from '../../runtime/pool/index.ts';
import { runService } from '../../runtime/runs/service.ts';
import { agentService } from '../agents/public.ts';
import { accountService } from '../auth/public.ts';
import { createImportHost, importHost } from './importing.ts';
import { knowledgeService, type SearchOptions } from './public.ts';
import { researchRoutes } from './routes/research.ts';
import { studioRoutes } from './routes/studio.ts';
import { importRunKind } from './run.ts';
import { createAgentDocuments } from './service/agent-documents.ts';
import { createBases } from './service/bases.ts';
import { createDocuments } from './service/documents.ts';
import { createParts } from './service/parts.ts';
import { createSearch } from './service/search.ts';
import { createKnowledgeService } from './service.ts';
import { knowledgeTools } from './tools.ts';

const mebibytes = (value: number, description: string) =>
  Type.Integer({ minimum: 1, maximum: 200, default: value, description: `${description}, MiB` });
const limit = (value: number, description: string) => Type.Integer({ minimum: 1, default: value, description });

export default definePlugin({
  name: 'knowledge',
  config: Type.Object({
    documentsPerBase: limit(50, 'documents of one knowledge base'),
    documentsPerAgent: limit(1000, 'documents of one agent'),
    baseFileMb: mebibytes(10, 'largest file of a knowledge base'),
    agentFileMb: mebibytes(20, 'largest file of an agent'),
    pages: limit(2000, 'pages of one document'),
    characters: limit(20_000_000, 'characters of the text of one document'),
    catchUpMs: limit(5000, 'how long a search waits for an index that is behind, milliseconds'),
  }),
  requires: {
    models: modelService,
    database: databaseService,
    runs: runService,
    pool: poolService,
    accounts: accountService,
  },
  uses: { agents: agentService },
  provides: { knowledge: knowledgeService },

  setup({ config, services: { models, database, runs, pool, accounts, agents }, log, dataDir, onDispose }) {
    const baseFileBytes = config.baseFileMb * 1024 * 1024;
    const agentFileBytes = config.agentFileMb * 1024 * 1024;
    const parts = createParts({
      database,
      runs,
      log,
      embedder: models.embedder,
      baseQuota: async (principal) => (await accounts.profile(principal)).kbQuota,
      options: {
        documentsPerBase: config.documentsPerBase,
        documentsPerAgent: config.documentsPerAgent,
        baseFileBytes,
        agentFileBytes,
        folder: join(dataDir, 'knowledge'),
        catchUpMs: config.catchUpMs,
      },
    });
    onDispose('knowledge: search index', () => parts.index.close());
    const documents = createDocuments(parts);
    const bases = createBases(parts, documents);
    const knowledge = createKnowledgeService(parts, {
      bases,
      documents,
      search: createSearch(parts, { findBase: bases.find, someDocuments: documents.some }),
    });
    onDispose('knowledge: usage of accounts', accounts.countUsage('knowledgeBases', bases.count));
    pool.expose(importHost, createImportHost(parts));
    pool.expose(knowledgeService, {
      search: ({ principal, signal }: HostCaller, query: string, options?: Omit<SearchOptions, 'signal'>) =>
        knowledge.search(principal, query, { ...options, signal }),
    });
    const agentDocuments = agents && createAgentDocuments({ agents, knowledge });
    if (agents) {
      onDispose(
        'knowledge: documents of deleted agents',
        agents.onDeleted((principal, agentId) => knowledge.deleteAgentDocuments(principal, agentId)),
      );
    }
    return {
      services: { knowledge },
      routes: [
        researchRoutes(knowledge, baseFileBytes),
        ...(agentDocuments ? studioRoutes(agentDocuments, agentFileBytes) : []),
      ],
      nodes: [new URL('./nodes/read.ts', import.meta.url)],
      tools: knowledgeTools(knowledge),
      runKinds: [importRunKind(parts, { pages: config.pages, characters: config.characters })],
      async ready() {
        await database.ready();
        await bases.recover();
        await documents.recover();
      },
    };
  },
});
