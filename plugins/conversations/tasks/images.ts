import { randomUUID } from 'node:crypto';
import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { ImagePart, ModelMessage, TextPart } from '../../../runtime/models/index.ts';
import type { Pool } from '../../../runtime/pool/index.ts';
import type { FileService } from '../../files/public.ts';
import { ImageRefusedError } from './errors.ts';

/** Pictures of one message. */
const MAX_IMAGES = 10;
const MAX_IMAGE_BYTES = 10 << 20;
const MAX_TOTAL_BYTES = 20 << 20;
/** Where a picture says how large it is, profiles and previews may come first. */
const HEAD_BYTES = 2 << 20;
const CHECK_MS = 15_000;

export interface Images {
  /**
   * Makes sure that paths in the project directory are those of pictures.
   *
   * @throws {ImageRefusedError}
   */
  check(principal: Principal, paths: readonly string[]): Promise<void>;
  /** The pictures for the model, in the same order. @throws {ImageRefusedError} */
  load(principal: Principal, paths: readonly string[]): Promise<ImagePart[]>;
  /** Puts the pictures of earlier messages where `markImages` has left their paths; of those that are gone only the path is told. */
  fill(principal: Principal, history: readonly ModelMessage[]): Promise<ModelMessage[]>;
}

interface Picture {
  type: string;
  bytes: Uint8Array;
}

const MARK = 'project:';

/** A message of the user with its pictures, to be filled in later. */
export const markImages = (content: string, paths: readonly string[] = []): ModelMessage => ({
  role: 'user',
  content:
    paths.length === 0
      ? content
      : [...textPart(content), ...paths.map((path) => ({ type: 'image' as const, url: `${MARK}${path}` }))],
});

/** Providers refuse parts without a text. */
const textPart = (text: string): TextPart[] => (text === '' ? [] : [{ type: 'text', text }]);

export function createImages({ pool, files }: { pool: Pick<Pool, 'run'>; files: FileService | undefined }): Images {
  /** @throws {AppError} of the file service */
  const read = async (principal: Principal, paths: readonly string[]): Promise<Uint8Array[]> => {
    if (paths.length > MAX_IMAGES) throw new ImageRefusedError('many', '', MAX_IMAGES);
    if (!files) throw new ImageRefusedError('missing', paths[0] ?? '');
    const pictures: Uint8Array[] = [];
    let total = 0;
    for (const path of paths) {
      const bytes = await readPicture(files, principal, path).catch((error: unknown) => {
        if (error instanceof AppError && error.kind === 'too_large') throw new ImageRefusedError('large', path);
        if (error instanceof AppError && error.kind !== 'internal') throw new ImageRefusedError('missing', path);
        throw error;
      });
      total += bytes.byteLength;
      if (total > MAX_TOTAL_BYTES) throw new ImageRefusedError('large', path);
      pictures.push(bytes);
    }
    return pictures;
  };

  const typesOf = async (principal: Principal, pictures: readonly Uint8Array[]): Promise<(string | null)[]> => {
    const id = randomUUID();
    try {
      const output = await pool.run({
        type: 'conversations.image',
        input: { heads: pictures.map((bytes) => bytes.subarray(0, HEAD_BYTES)) },
        run: { id, tenantId: principal.tenantId },
        principal,
        idempotencyKey: id,
        attempt: 1,
        timeoutMs: CHECK_MS,
      });
      return (output as { types: (string | null)[] }).types;
    } catch (error) {
      // What keeps the library busy for so long is made to do so.
      if (error instanceof AppError && error.code === 'NODE_TIMEOUT') return pictures.map(() => null);
      throw error;
    }
  };

  const checked = async (principal: Principal, paths: readonly string[]): Promise<Picture[]> => {
    if (paths.length === 0) return [];
    const pictures = await read(principal, paths);
    const types = await typesOf(principal, pictures);
    return pictures.map((bytes, at) => {
      const type = types[at];
      if (!type) throw new ImageRefusedError('kind', paths[at] ?? '');
      return { type, bytes };
    });
  };

  const load = async (principal: Principal, paths: readonly string[]): Promise<ImagePart[]> =>
    (await checked(principal, paths)).map(({ type, bytes }) => ({
      type: 'image',
      url: `data:${type};base64,${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}`,
    }));

  return {
    async check(principal, paths) {
      await checked(principal, paths);
    },

    load,

    async fill(principal, history) {
      const room = { images: MAX_IMAGES, bytes: MAX_TOTAL_BYTES };
      const filled: ModelMessage[] = [];
      // The last pictures first: those are what is talked about.
      for (const message of [...history].reverse()) {
        filled.push(message.role === 'user' ? await fillOne(principal, message, room, load) : message);
      }
      return filled.reverse();
    },
  };
}

/** Clients often give the path that an upload was answered with, which begins below `user_upload`. */
async function readPicture(files: FileService, principal: Principal, path: string): Promise<Uint8Array> {
  try {
    return await files.read(principal, path, MAX_IMAGE_BYTES);
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'PATH_NOT_FOUND')) throw error;
    return files.read(principal, `user_upload/${path}`, MAX_IMAGE_BYTES);
  }
}

async function fillOne(
  principal: Principal,
  message: Extract<ModelMessage, { role: 'user' }>,
  room: { images: number; bytes: number },
  load: Images['load'],
): Promise<ModelMessage> {
  if (typeof message.content === 'string') return message;
  const parts: (TextPart | ImagePart)[] = [];
  for (const part of message.content) {
    if (part.type === 'text' || !part.url.startsWith(MARK)) {
      parts.push(part);
      continue;
    }
    const path = part.url.slice(MARK.length);
    const [picture] = room.images > 0 ? await load(principal, [path]).catch(() => []) : [];
    if (picture && picture.url.length <= room.bytes) {
      room.images -= 1;
      room.bytes -= picture.url.length;
      parts.push(picture);
    } else parts.push({ type: 'text', text: `[image: ${path}]` });
  }
  return { ...message, content: parts };
}
