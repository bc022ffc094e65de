import { randomUUID } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from 'koa';
import { AppError } from '../errors.ts';
import { bodyKind, malformed, tooLarge } from './body.ts';
import { boundaryOf, decodeText, MultipartError, type Part, readParts } from './multipart.ts';
import type { UploadedFile } from './route.ts';

const MAX_FIELDS = 200;
const MAX_FIELD_BYTES = 1 << 20;
const MAX_FILES = 100;

export interface FormBody {
  /** Text; an array of it where a name came several times. */
  readonly fields: Record<string, unknown>;
  /** The first file of each name. */
  readonly files: Record<string, UploadedFile>;
  /** Removes the files; the caller's duty. */
  dispose(): Promise<void>;
}

/**
 * Reads a form or multipart body; files are written to temporary files in a folder that nobody else can read.
 *
 * @param limit of all files together, or of the form, bytes
 * @throws {AppError} BODY_TOO_LARGE, BODY_MALFORMED
 */
export async function readForm(ctx: Context, limit: number): Promise<FormBody> {
  const declared = ctx.request.length;
  // The parts' heads come on top of the file itself.
  if (declared !== undefined && declared > limit + 64 * 1024) throw tooLarge(limit);
  try {
    return bodyKind(ctx) === 'multipart' ? await readMultipart(ctx, limit) : await readUrlEncoded(ctx, limit);
  } catch (error) {
    const { type } = error as { type?: string };
    if (type === 'entity.too.large') throw tooLarge(limit);
    throw error instanceof AppError ? error : malformed('无法读取表单', 'The form could not be read', error);
  }
}

async function readUrlEncoded(ctx: Context, limit: number): Promise<FormBody> {
  // With what belongs to it a fifth of what the server would load at its start.
  const { koaBody } = await import('koa-body');
  await koaBody({ json: false, text: false, multipart: false, formLimit: limit })(ctx, async () => undefined);
  const { body } = ctx.request as unknown as { body?: Record<string, unknown> };
  return { fields: { ...body }, files: {}, dispose: async () => undefined };
}

async function readMultipart(ctx: Context, limit: number): Promise<FormBody> {
  const boundary = boundaryOf(ctx.get('content-type'));
  const folder = await mkdtemp(join(tmpdir(), 'koagent-form-'));
  const dispose = () => rm(folder, { recursive: true, force: true });
  const fields = new Map<string, string[]>();
  const files = new Map<string, UploadedFile>();
  let [fieldRoom, fileRoom, fieldCount, fileCount] = [MAX_FIELD_BYTES, limit, 0, 0];
  // Not the request itself: leaving its iterator early would end the connection before the answer is out.
  const body = ctx.req.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  try {
    for await (const part of readParts(body, boundary)) {
      if (isFile(part)) {
        if (++fileCount > MAX_FILES) throw tooMany();
        const file = await store(part, join(folder, randomUUID()), fileRoom, limit);
        fileRoom -= file.size;
        if (files.has(part.name)) await rm(file.path);
        else files.set(part.name, file);
      } else {
        if (++fieldCount > MAX_FIELDS) throw tooMany();
        const bytes = await collect(part.content, fieldRoom);
        fieldRoom -= bytes.length;
        fields.set(part.name, [...(fields.get(part.name) ?? []), decodeText(bytes)]);
      }
    }
  } catch (error) {
    await dispose();
    if (error instanceof MultipartError) throw malformed('无法读取表单', 'The form could not be read', error);
    throw error;
  } finally {
    // What is left goes by unread: a client that goes on sending hears the answer only when somebody listens.
    await body.return?.();
    ctx.req.resume();
  }
  return {
    fields: Object.fromEntries([...fields].map(([name, values]) => [name, values.length === 1 ? values[0] : values])),
    files: Object.fromEntries(files),
    dispose,
  };
}

/** Clients in Python leave the content type out of files, those in Java and .NET give one to plain fields. */
const isFile = ({ filename, type }: Part): boolean =>
  filename !== undefined || !(type === '' || type.startsWith('text/') || type === 'application/json');

async function store({ filename = '', content }: Part, path: string, room: number, limit: number) {
  const handle = await open(path, 'wx', 0o600);
  try {
    let size = 0;
    for await (const piece of content) {
      size += piece.length;
      if (size > room) throw tooLarge(limit);
      await handle.writeFile(piece);
    }
    return { filename, size, path };
  } finally {
    await handle.close();
  }
}

async function collect(content: AsyncIterable<Buffer>, room: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of content) {
    size += piece.length;
    if (size > room) throw tooMany();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const tooMany = () =>
  new AppError('too_large', 'BODY_TOO_LARGE', {
    zh: '表单的字段或文件过多，或字段过长',
    en: 'The form has too many fields or files, or fields that are too long',
  });
