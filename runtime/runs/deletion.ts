import type { Principal } from '../../core/principal.ts';
import { bucketsFrom, isTerminal, type RunDocument, type RunStore } from './model.ts';
import type { Values } from './values.ts';

const PAGE = 100;

/** Removes all runs of a subject, or one of them: ends those that are under way, then values, logs and documents, oldest first. */
export async function deleteRuns(
  { store, values }: { store: RunStore; values: Values },
  principal: Principal,
  { kind, subject, id }: { kind: string; subject: string; id?: string },
  supervisor: { cancel(document: RunDocument, reason: string): Promise<unknown>; forget(ids: readonly string[]): void },
): Promise<number> {
  const runs = store.runs.in(principal);
  let removed = 0;
  for (;;) {
    const page = await runs.find(
      { kind, subject, ...(id !== undefined && { _id: id }) },
      { sort: { createdAt: 1 }, limit: PAGE },
    );
    await Promise.all(
      page.filter(({ status }) => !isTerminal(status)).map((document) => supervisor.cancel(document, 'deleted')),
    );
    for (const document of page) await deleteLog(store, values, document);
    const ids = page.map(({ _id }) => _id);
    removed += await runs.delete({ _id: { $in: ids } });
    supervisor.forget(ids);
    if (page.length < PAGE) return removed;
  }
}

/** Everything that a run has stored beside its own document. */
export async function deleteLog(store: RunStore, values: Values, document: RunDocument): Promise<void> {
  const { logId, inputFile, resultFile } = document;
  const buckets = store.buckets.in(document);
  const mine = { logId, _id: bucketsFrom(logId, 0) };
  const files = new Set([inputFile, resultFile].filter((file) => file !== undefined));
  for await (const { events, steps } of buckets.iterate(mine, { fields: ['events', 'steps'] })) {
    for (const text of [events, steps]) {
      if (!text?.includes('"file":"')) continue;
      for (const { file } of JSON.parse(text) as { file?: string }[]) if (file !== undefined) files.add(file);
    }
  }
  await values.remove(document, [...files]);
  await buckets.delete(mine);
}
