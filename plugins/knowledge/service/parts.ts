import type { Database, TenantFiles, TenantModel } from '../../../core/data/database.ts';
import type { Logger } from '../../../core/log.ts';
import type { Principal } from '../../../core/principal.ts';
import type { TextEmbedder } from '../../../runtime/models/index.ts';
import type { RunService } from '../../../runtime/runs/service.ts';
import { type BaseRecord, baseModel } from '../models/base.ts';
import { type Changes, createChanges } from '../models/change.ts';
import { type DocumentRecord, documentModel } from '../models/document.ts';
import { type PassageRecord, passageModel } from '../models/passage.ts';
import { createIndexSync, type IndexSync } from '../search/sync.ts';

export interface KnowledgeOptions {
  documentsPerBase: number;
  documentsPerAgent: number;
  /** Bytes of one file in a base, and of one that belongs to an agent. */
  baseFileBytes: number;
  agentFileBytes: number;
  /** Folder of the index files. */
  folder: string;
  /** How long a search waits for an index that is behind, in milliseconds. */
  catchUpMs: number;
}

export interface KnowledgeDeps {
  database: Database;
  runs: RunService;
  log: Logger;
  options: KnowledgeOptions;
  /** Knowledge bases that an account may have. */
  baseQuota(principal: Principal): Promise<number>;
  /** Absent without a configured model. */
  embedder?: TextEmbedder | undefined;
}

/** What the services of the plugin work on. */
export interface KnowledgeParts extends Omit<KnowledgeDeps, 'database'> {
  bases: TenantModel<BaseRecord>;
  documents: TenantModel<DocumentRecord>;
  passages: TenantModel<PassageRecord>;
  changes: Changes;
  files: TenantFiles;
  index: IndexSync;
}

export function createParts({ database, ...deps }: KnowledgeDeps): KnowledgeParts {
  const documents = documentModel(database);
  const passages = passageModel(database);
  const changes = createChanges(database);
  const { folder, catchUpMs } = deps.options;
  return {
    ...deps,
    bases: baseModel(database),
    documents,
    passages,
    changes,
    files: database.files('knowledge'),
    index: createIndexSync({ documents, passages, changes, folder, catchUpMs, log: deps.log }),
  };
}
