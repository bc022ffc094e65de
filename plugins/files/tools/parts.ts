import { createHash } from 'node:crypto';
import type { TenantModel } from '../../../core/data/database.ts';
import { AppError } from '../../../core/errors.ts';
import { Type } from '../../../core/schema.ts';
import type { ToolContext, ToolScope } from '../../../core/tool.ts';
import { notFile, pathFixed } from '../errors.ts';
import type { Folder } from '../folder.ts';
import type { ChangeFields } from '../models/change.ts';
import { newPathParts, pathParts, UPLOADS } from '../names.ts';
import type { FileService } from '../public.ts';
import type { FileStore } from '../store.ts';

export interface ToolParts {
  store: FileStore;
  files: FileService;
  changes: TenantModel<ChangeFields>;
  /** File tools for all accounts; else for API accounts alone. */
  everyone: boolean;
}

/** Larger files are not for models. */
export const TEXT_BYTES = 4 << 20;

export const pathOf = (what: string) =>
  Type.String({ minLength: 1, maxLength: 1024, description: `${what}, relative to the project directory` });

/** Others have no folder that they could see. */
export const availableTo =
  (everyone: boolean) =>
  ({ principal }: ToolScope): boolean =>
    principal.kind === 'api' || everyone;

/** The names of a path of a file, not of the project directory itself. */
export function filePath(given: string, made = false): string[] {
  const parts = made ? newPathParts(given) : pathParts(given);
  if (parts.length === 0) throw notFile();
  return parts;
}

/** The names of something that may be moved or removed: neither the project directory nor the upload folder. */
export function movablePath(given: string): string[] {
  const parts = filePath(given);
  if (parts.length === 1 && parts[0] === UPLOADS) throw pathFixed();
  return parts;
}

export async function readBytes(folder: Folder, parts: readonly string[]): Promise<Uint8Array | undefined> {
  try {
    const { handle } = await folder.open(parts);
    try {
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof AppError && error.code === 'PATH_NOT_FOUND') return undefined;
    throw error;
  }
}

export type Answer = Record<string, unknown>;

/** What a change of a file comes to. */
export interface FileChange {
  content: Uint8Array;
  answer: Answer;
}

/**
 * Gives a file its new content, in the account's turn. The change is noted before it is made: a call that is repeated after a crash finds the
 * content there and gives the answer of the first time.
 */
export async function changeFile(
  { store, changes, files }: ToolParts,
  { principal, idempotencyKey, emit }: Pick<ToolContext, 'principal' | 'idempotencyKey' | 'emit'>,
  parts: readonly string[],
  make: (before: Uint8Array | undefined) => FileChange,
): Promise<Answer> {
  const answer = await store.inTurn(principal, async () => {
    const folder = await store.project(principal);
    const before = await readBytes(folder, parts);
    const noted = await changes.in(principal).get(idempotencyKey);
    if (noted && before && noted.sha256 === sha256(before)) return JSON.parse(noted.answer) as Answer;
    const { content, answer } = make(before);
    await note(changes.in(principal), idempotencyKey, answer, sha256(content));
    const draft = await store.draft([content]);
    try {
      await store.place(principal, folder, draft, parts);
    } catch (error) {
      await store.discard(draft);
      throw error;
    }
    return answer;
  });
  emit('file_tree_update', { ...(await files.tree(principal)) });
  return answer;
}

/**
 * Moves or removes something, in the account's turn and noted before: the call that is repeated finds nothing at the old place and gives
 * the answer of the first time.
 */
export async function takeAway(
  { store, changes, files }: ToolParts,
  { principal, idempotencyKey, emit }: Pick<ToolContext, 'principal' | 'idempotencyKey' | 'emit'>,
  parts: readonly string[],
  answer: Answer,
  take: (folder: Folder) => Promise<void>,
): Promise<Answer> {
  await store.inTurn(principal, async () => {
    const folder = await store.project(principal);
    const noted = await changes.in(principal).get(idempotencyKey);
    if (!noted) {
      await folder.find(parts);
      await note(changes.in(principal), idempotencyKey, answer);
    }
    try {
      await take(folder);
    } catch (error) {
      if (!(noted && error instanceof AppError && error.code === 'PATH_NOT_FOUND')) throw error;
    }
    store.recount(principal);
  });
  emit('file_tree_update', { ...(await files.tree(principal)) });
  return answer;
}

const note = (changes: ReturnType<ToolParts['changes']['in']>, key: string, answer: Answer, sha?: string) =>
  changes.update(
    { _id: key },
    { $set: { answer: JSON.stringify(answer), ...(sha !== undefined && { sha256: sha }) } },
    { upsert: true },
  );

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
