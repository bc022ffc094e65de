import type { Principal } from '../../../core/principal.ts';
import { defineService } from '../../../core/service.ts';
import type { RunMode } from '../run-mode.ts';

/** How an API account wants its agents to be. Every field is always there and within its limits. */
export interface Personalization {
  /** When false nothing of the object reaches the system text. */
  enabled: boolean;
  /** What the agent calls itself, what it calls the user, what the user does, how it speaks: at most 20 characters each. */
  selfIdentify: string;
  userName: string;
  profession: string;
  tone: string;
  /** At most 10 texts of at most 50 characters. */
  considerations: string[];
  /** In mode `thinking`: think again after so many iterations, 1-50. */
  thinkingInterval: number | null;
  disabledToolCategories: string[];
  defaultRunMode: RunMode | null;
  autoGenerateTitle: boolean;
  toolIntentEnabled: boolean;
  /** A key of a configured model. */
  defaultModel: string;
}

/** A prompt or personalization in a list. */
export interface ProfileItem {
  name: string;
  /** Bytes of the stored text. */
  size: number;
  updatedAt: Date;
}

/**
 * Prompts and personalizations of one API account. Names are 1-64 letters, digits, `_` and `-`; a name of any other form is one that
 * nobody has. A prompt takes the place of the server's own system text.
 */
export interface ProfileService {
  /** By name. */
  listPrompts(principal: Principal): Promise<ProfileItem[]>;
  /** @throws {AppError} PROMPT_NOT_FOUND */
  prompt(principal: Principal, name: string): Promise<string>;
  /**
   * Creates or overwrites.
   *
   * @throws {AppError} PROFILE_NAME_INVALID, PROFILE_LIMIT (invalid)
   */
  savePrompt(principal: Principal, name: string, content: string): Promise<void>;

  /** By name. */
  listPersonalizations(principal: Principal): Promise<ProfileItem[]>;
  /** @throws {AppError} PERSONALIZATION_NOT_FOUND; PERSONALIZATION_BROKEN (invalid) when what is stored cannot be read */
  personalization(principal: Principal, name: string): Promise<Personalization>;
  /**
   * Normalises and stores; what `content` (in the fields of the tasks document) does not name keeps its stored value, else gets the
   * default. Nothing in it is refused: what does not fit is made to fit or dropped.
   *
   * @throws {AppError} PROFILE_NAME_INVALID, PROFILE_LIMIT (invalid)
   */
  savePersonalization(
    principal: Principal,
    name: string,
    content: Readonly<Record<string, unknown>>,
  ): Promise<Personalization>;
}

export const profileService = defineService<ProfileService>('agent-profiles');
