import type { LocalText } from '../../core/errors.ts';
import { defineRunKind, type RunContext, type RunKind } from '../../core/run-kind.ts';
import { DocumentNotFoundError } from './errors.ts';
import type { KnowledgeParts } from './service/parts.ts';

export const RUN_KIND = 'ingest';

interface Input {
  documentId: string;
}
interface Result {
  passages: number;
  tokens: number;
  pages: number | null;
}

/** Progress that is worth a write, in percent. */
const STEP = 5;
/** Share of the import that is reading and storing; the index is the rest. */
const READ = 90;

/** Imports the file of a document. The run's id is the version of the passages that it makes. */
export function importRunKind(parts: KnowledgeParts, limits: Record<string, number>): RunKind {
  const { documents, passages, changes, index, log } = parts;

  const read = async (run: RunContext<Input>): Promise<Result> => {
    const { documentId } = run.input;
    let shown = 0;
    const {
      passages: count,
      tokens,
      pages,
    } = await run.node<Result>(
      'read',
      { type: 'knowledge.read', config: limits, input: { documentId } },
      {
        onProgress(fraction) {
          const progress = Math.floor(fraction * READ);
          if (progress < shown + STEP) return;
          shown = progress;
          documents
            .in(run.principal)
            .update({ _id: documentId, runId: run.runId }, { $max: { progress } })
            .catch((error: unknown) => run.log.warn({ err: error }, 'progress not stored'));
          run.emit('import_progress', { progress }).catch(() => undefined);
        },
      },
    );
    return { passages: count, tokens, pages };
  };

  return defineRunKind<Input, Result>({
    kind: RUN_KIND,

    async execute(run) {
      const { documentId } = run.input;
      const { principal, runId } = run;
      const result = await read(run);
      // Everything below may be repeated. One write puts the new passages in the place of the old ones; the change tells all indexes.
      const mine = { _id: documentId, runId, deleted: false };
      const published = await documents
        .in(principal)
        .update(mine, { $set: { version: runId, ...result, progress: READ } });
      if (!published) throw new DocumentNotFoundError(documentId);
      await changes.append(principal, documentId);
      await index
        .catchUp(principal)
        .catch((error: unknown) =>
          log.warn({ err: error }, 'knowledge index: left behind, the next search brings it up'),
        );
      await passages.in(principal).delete({ documentId, version: { $ne: runId } });
      return result;
    },

    async settled({ principal, runId, input: { documentId }, outcome }) {
      const set =
        outcome.status === 'succeeded'
          ? { status: 'completed' as const, progress: 100, error: null }
          : { status: 'failed' as const, error: errorOf(outcome) };
      const settled = await documents
        .in(principal)
        .update({ _id: documentId, runId, status: 'processing' }, { $set: { ...set, processedAt: new Date() } });
      if (outcome.status === 'succeeded' || settled?.version === runId) return;
      await passages.in(principal).delete({ documentId, version: runId });
    },
  }) as RunKind;
}

function errorOf(
  outcome: { status: string } & Partial<{ error: { code: string; kind: string; message: { zh: string; en: string } } }>,
) {
  const { error } = outcome;
  if (error === undefined)
    return { code: 'IMPORT_CANCELLED', message: { zh: '处理已取消', en: 'The import was cancelled' } };
  // Faults of ours and cut-off workers are told in words that help; the log has the rest.
  if (error.kind === 'invalid') return { code: error.code, message: error.message };
  return { code: error.code, message: REASONS[error.code] ?? FAULT };
}

const FAULT = { zh: '文档处理失败，请稍后重新上传', en: 'The import failed; upload the document again later' };
const REASONS: Readonly<Record<string, LocalText>> = {
  NODE_TIMEOUT: {
    zh: '文档处理超时，内容可能过于复杂',
    en: 'The document took too long to read; it may be too complex',
  },
  NODE_RETRIES_EXHAUSTED: {
    zh: '文档多次处理失败，内容可能过于复杂',
    en: 'Reading the document failed several times; it may be too complex',
  },
};
