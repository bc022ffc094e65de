/**
 * Where a term stands: numbers of passages, ascending, each with how much of it there is. Stored in blocks of bytes: the distance to the
 * passage before, doubled, in groups of seven bits; the lowest bit says that a byte with the units follows, else they are `BODY_UNITS`.
 */
export interface Postings {
  ids: number[];
  units: number[];
}

/** What one place counts: in a heading less than in the text. */
export const BODY_UNITS = 5;
export const HEAD_UNITS = 2;
const MOST_UNITS = 255;
/** Small enough that a row of a table without row numbers keeps it in its own page. */
const BLOCK_BYTES = 1800;

export interface Block {
  first: number;
  last: number;
  count: number;
  data: Uint8Array;
}

const room = new Uint8Array(BLOCK_BYTES + 16);

export function* blocksOf({ ids, units }: Postings): Generator<Block> {
  let from = 0;
  while (from < ids.length) {
    const first = ids[from] ?? 0;
    let before = first;
    let size = 0;
    let at = from;
    for (; at < ids.length && size < BLOCK_BYTES; at++) {
      const id = ids[at] ?? 0;
      const count = Math.min(units[at] ?? 0, MOST_UNITS);
      const plain = count === BODY_UNITS;
      let distance = id - before;
      before = id;
      // The lowest group has the mark and six bits, so distances beyond 31 bits stay exact.
      let byte = (distance % 64) * 2 + (plain ? 0 : 1);
      distance = Math.floor(distance / 64);
      while (distance > 0) {
        room[size++] = byte | 128;
        byte = distance % 128;
        distance = Math.floor(distance / 128);
      }
      room[size++] = byte;
      if (!plain) room[size++] = count;
    }
    yield { first, last: before, count: at - from, data: room.slice(0, size) };
    from = at;
  }
}

/** Appends what a block holds. */
export function readBlock(first: number, data: Uint8Array, { ids, units }: Postings): void {
  let id = first;
  for (let at = 0; at < data.length; ) {
    let byte = data[at++] ?? 0;
    const plain = (byte & 1) === 0;
    let distance = (byte & 127) >> 1;
    for (let scale = 64; byte > 127; scale *= 128) {
      byte = data[at++] ?? 0;
      distance += (byte & 127) * scale;
    }
    id += distance;
    ids.push(id);
    units.push(plain ? BODY_UNITS : (data[at++] ?? 0));
  }
}
