import { isTerminal, type RunDocument } from './model.ts';
import type { RunState } from './service.ts';

const MAX_ENDED = 10_000;

export const stateOf = ({ _id: id, kind, tenantId, ownerId, logId, status }: RunDocument): RunState => ({
  id,
  kind,
  tenantId,
  ownerId,
  logId,
  status,
});

/** How the runs ended that this process has carried out lately: an end is final, and whoever polls asks for it once more. */
export class EndedStates {
  readonly #states = new Map<string, RunState>();

  get(id: string): RunState | undefined {
    return this.#states.get(id);
  }

  add(document: RunDocument): void {
    if (!isTerminal(document.status)) return;
    this.#states.set(document._id, stateOf(document));
    if (this.#states.size <= MAX_ENDED) return;
    const [oldest] = this.#states.keys();
    if (oldest !== undefined) this.#states.delete(oldest);
  }

  forget(ids: readonly string[]): void {
    for (const id of ids) this.#states.delete(id);
  }
}
