/** The lowest free place; undefined when all are taken. A unique index over the places keeps the limit, see the models. */
export function freeSlot(taken: readonly { slot?: number }[], limit: number): number | undefined {
  const used = new Set(taken.map(({ slot }) => slot));
  for (let slot = 0; slot < limit; slot++) if (!used.has(slot)) return slot;
  return undefined;
}
