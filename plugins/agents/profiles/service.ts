import type { Database } from '../../../core/data/database.ts';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import {
  personalizationBroken,
  personalizationNotFound,
  profileLimit,
  profileNameInvalid,
  promptNotFound,
} from '../errors.ts';
import { type ProfileDocument, type ProfileKind, profileModel } from '../models/profile.ts';
import { type KnownNames, normalise, toWire } from './personalization.ts';
import type { Personalization, ProfileItem, ProfileService } from './types.ts';

const NAME = /^[A-Za-z0-9_-]{1,64}$/;

export interface ProfileDeps {
  database: Database;
  /** Prompts, and personalizations, of one account. */
  perAccount: number;
  known(): KnownNames;
}

export function createProfileService({ database, perAccount, known }: ProfileDeps): ProfileService {
  const profiles = profileModel(database);

  const find = async (principal: Principal, kind: ProfileKind, name: string): Promise<ProfileDocument | undefined> =>
    NAME.test(name) ? profiles.in(principal).findOne({ ownerId: principal.accountId, kind, name }) : undefined;

  const list = async (principal: Principal, kind: ProfileKind): Promise<ProfileItem[]> => {
    const found = await profiles
      .in(principal)
      .find({ ownerId: principal.accountId, kind }, { sort: { name: 1 }, fields: ['name', 'size', 'updatedAt'] });
    return found.map(({ name, size, updatedAt }) => ({ name, size, updatedAt }));
  };

  /** Stores what `decide` makes of the present text; looked at again when somebody else was faster. */
  const save = async (
    principal: Principal,
    kind: ProfileKind,
    name: string,
    decide: (before: string | undefined) => string,
  ): Promise<void> => {
    if (!NAME.test(name)) throw profileNameInvalid();
    const own = profiles.in(principal);
    const { accountId: ownerId } = principal;
    for (;;) {
      const before = await find(principal, kind, name);
      const content = decide(before?.content);
      const fields = { content, size: Buffer.byteLength(content) };
      if (before) {
        const { _id, revision } = before;
        if (await own.update({ _id, revision }, { $set: { ...fields, revision: revision + 1 } })) return;
        continue;
      }
      if ((await own.count({ ownerId, kind })) >= perAccount) throw profileLimit(perAccount);
      try {
        await own.insert({ ownerId, kind, name, ...fields, revision: 1 });
        return;
      } catch (error) {
        if (!isDuplicate(error)) throw error;
      }
    }
  };

  const read = (name: string, content: string): Personalization => {
    const value = parsed(content);
    if (value === undefined) throw personalizationBroken(name);
    return normalise(value, known());
  };

  return {
    listPrompts: (principal) => list(principal, 'prompt'),

    async prompt(principal, name) {
      const found = await find(principal, 'prompt', name);
      if (!found) throw promptNotFound(name);
      return found.content;
    },

    savePrompt: (principal, name, content) => save(principal, 'prompt', name, () => content),

    listPersonalizations: (principal) => list(principal, 'personalization'),

    async personalization(principal, name) {
      const found = await find(principal, 'personalization', name);
      if (!found) throw personalizationNotFound(name);
      return read(name, found.content);
    },

    async savePersonalization(principal, name, content) {
      let made: Personalization | undefined;
      await save(principal, 'personalization', name, (before) => {
        // What cannot be read is written anew.
        const stored = parsed(before);
        made = normalise(content, known(), stored && normalise(stored, known()));
        return JSON.stringify(toWire(made));
      });
      return made ?? normalise(content, known());
    },
  };
}

/** The object that a text holds; undefined when it holds none. */
function parsed(text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
