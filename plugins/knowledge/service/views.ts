import type { BaseDocument } from '../models/base.ts';
import type { DocumentDocument } from '../models/document.ts';
import type { KnowledgeBase, KnowledgeDocument } from '../public.ts';

export const baseView = (
  base: BaseDocument,
  used: { files: number; bytes: number },
  fileLimit: number,
): KnowledgeBase => ({
  id: base._id,
  name: base.name,
  description: base.description,
  datasetId: base.datasetId,
  fileCount: used.files,
  totalBytes: used.bytes,
  fileLimit,
  createdAt: base.createdAt,
  updatedAt: base.updatedAt,
});

export const documentView = (document: DocumentDocument): KnowledgeDocument => ({
  id: document._id,
  knowledgeBaseId: document.baseId ?? null,
  agentId: document.agentId ?? null,
  filename: document.filename,
  fileType: document.fileType,
  size: document.size,
  status: document.status,
  progress: document.progress,
  passages: document.passages,
  tokens: document.tokens,
  pages: document.pages,
  error: document.error,
  runId: document.runId,
  uploadedAt: document.uploadedAt,
  processedAt: document.processedAt,
});
