import { MAX_PAYLOAD_BYTES, type Packed } from './pack.ts';

/** Larger bytes cross in pieces, so that neither side's event loop stands still for long (1 MiB: about 4 ms). */
const PIECE_BYTES = 1024 * 1024;

type Frame<M> =
  | { k: 'message'; message: M; packed: WirePacked[] }
  | { k: 'blob'; blob: number; size: number }
  | { k: 'piece'; blob: number; at: number; bytes: Uint8Array };

/** A packed value whose large bytes went ahead as blobs. */
interface WirePacked {
  value: unknown;
  bytes: { path: (string | number)[]; kind: 'ArrayBuffer' | 'Uint8Array'; content: ArrayBuffer | number }[];
}

/** Sends messages with the packed values that belong to them over an IPC channel with `serialization: 'advanced'`. */
export class IpcLink<Out, In> {
  readonly #send: (frame: Frame<Out>, callback: (error: Error | null) => void) => void;
  readonly #receive: (message: In, packed: Packed[]) => void;
  readonly #blobs = new Map<number, Uint8Array<ArrayBuffer>>();
  #lastBlob = 0;

  constructor(
    send: (frame: unknown, callback: (error: Error | null) => void) => void,
    receive: (message: In, packed: Packed[]) => void,
  ) {
    this.#send = send;
    this.#receive = receive;
  }

  /**
   * Sends at once when nothing is large. Rejects when the value cannot be copied or the channel is closed; the other end
   * then has got nothing of the message.
   */
  async send(message: Out, packed: Packed[] = []): Promise<void> {
    const wire: WirePacked[] = [];
    for (const { value, bytes = [] } of packed) {
      const entries: WirePacked['bytes'] = [];
      for (const { path, kind, buffer } of bytes) {
        const content = buffer.byteLength <= PIECE_BYTES ? buffer : await this.#sendBlob(buffer);
        entries.push({ path, kind, content });
      }
      wire.push({ value, bytes: entries });
    }
    await this.#write({ k: 'message', message, packed: wire });
  }

  /** @throws {RangeError} what arrived is no frame of ours */
  receive(raw: unknown): void {
    const frame = raw as Frame<In>;
    if (frame.k === 'blob') {
      if (!(frame.size <= MAX_PAYLOAD_BYTES)) throw new RangeError(`A blob of ${frame.size} bytes was announced`);
      this.#blobs.set(frame.blob, new Uint8Array(frame.size));
    } else if (frame.k === 'piece') {
      this.#blobs.get(frame.blob)?.set(frame.bytes, frame.at);
    } else {
      this.#receive(
        frame.message,
        frame.packed.map(({ value, bytes }) => ({
          value,
          bytes: bytes.map(({ path, kind, content }) => ({
            path,
            kind,
            buffer: typeof content === 'number' ? this.#takeBlob(content) : content,
          })),
        })),
      );
    }
  }

  async #sendBlob(buffer: ArrayBuffer): Promise<number> {
    const blob = ++this.#lastBlob;
    await this.#write({ k: 'blob', blob, size: buffer.byteLength });
    for (let at = 0; at < buffer.byteLength; at += PIECE_BYTES) {
      // One piece after another: the channel never holds more of it than that.
      const bytes = new Uint8Array(buffer, at, Math.min(PIECE_BYTES, buffer.byteLength - at));
      await this.#write({ k: 'piece', blob, at, bytes });
    }
    return blob;
  }

  #takeBlob(blob: number): ArrayBuffer {
    const bytes = this.#blobs.get(blob);
    if (bytes === undefined) throw new RangeError(`Blob ${blob} was never sent`);
    this.#blobs.delete(blob);
    return bytes.buffer;
  }

  #write(frame: Frame<Out>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#send(frame, (error) => (error ? reject(error) : resolve()));
    });
  }
}
