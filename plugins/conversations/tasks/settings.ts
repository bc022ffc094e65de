import { AppError } from '../../../core/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import type { ModelGateway, ResolvedModel } from '../../../runtime/models/index.ts';
import { type Personalization, type ProfileService, RUN_MODES, type RunMode } from '../../agents/public.ts';
import type { TaskSettings } from '../models/conversation.ts';
import { RunModeUnknownError } from './errors.ts';

/** What a call says of how its message is to be answered; null or absent: nothing. */
export interface Wanted {
  /** Blanks around it and case do not matter. */
  runMode?: string | null | undefined;
  thinkingMode?: boolean | null | undefined;
  modelKey?: string | null | undefined;
  promptName?: string | null | undefined;
  personalizationName?: string | null | undefined;
}

/** How a message is answered. */
export interface Resolved {
  runMode: RunMode;
  model: ResolvedModel;
  /** Text of the prompt. */
  prompt: string | undefined;
  personalization: Personalization | undefined;
  /** What the conversation remembers from now on. */
  settings: TaskSettings;
}

export const NEW_SETTINGS: TaskSettings = {
  runMode: null,
  modelKey: null,
  promptName: null,
  personalizationName: null,
  used: null,
  hasImages: false,
  totalTools: 0,
  moreMessages: 0,
};

/**
 * Settles the settings of a message: what the call says, else the conversation, else the personalization, else the server. Names that the
 * call gives must exist; those that the conversation remembers and that are gone by now are passed over.
 *
 * Source: tasks contract, 2.2.
 *
 * @throws {AppError} RUN_MODE_UNKNOWN, PROMPT_NOT_FOUND, PERSONALIZATION_NOT_FOUND, PERSONALIZATION_BROKEN, MODEL_UNKNOWN
 */
export async function resolveSettings(
  { profiles, models }: { profiles: ProfileService; models: Pick<ModelGateway, 'resolve'> },
  principal: Principal,
  wanted: Wanted,
  current: TaskSettings,
): Promise<Resolved> {
  const asked = namedMode(wanted.runMode) ?? modeOf(wanted.thinkingMode) ?? current.runMode;
  const prompt = await named(wanted.promptName, current.promptName, (name) => profiles.prompt(principal, name));
  const personalization = await named(wanted.personalizationName, current.personalizationName, (name) =>
    profiles.personalization(principal, name),
  );
  const runMode = asked ?? personalization?.defaultRunMode ?? 'fast';
  const { model, key } = chooseModel(models, wanted.modelKey, [current.modelKey, personalization?.defaultModel]);
  return {
    runMode,
    model,
    prompt,
    personalization,
    settings: {
      ...current,
      runMode: asked,
      modelKey: key,
      promptName: wanted.promptName ?? current.promptName,
      personalizationName: wanted.personalizationName ?? current.personalizationName,
      used: { runMode, modelKey: model.key },
    },
  };
}

async function named<T>(
  wanted: string | null | undefined,
  remembered: string | null,
  load: (name: string) => Promise<T>,
): Promise<T | undefined> {
  if (wanted !== null && wanted !== undefined) return load(wanted);
  if (remembered === null) return undefined;
  try {
    return await load(remembered);
  } catch (error) {
    if (error instanceof AppError && error.kind === 'not_found') return undefined;
    throw error;
  }
}

function namedMode(given: string | null | undefined): RunMode | undefined {
  const name = given?.trim().toLowerCase();
  if (name === undefined || name === '') return undefined;
  const mode = RUN_MODES.find((known) => known === name);
  if (mode === undefined) throw new RunModeUnknownError();
  return mode;
}

const modeOf = (thinking: boolean | null | undefined): RunMode | undefined =>
  typeof thinking === 'boolean' ? (thinking ? 'thinking' : 'fast') : undefined;

/** The model, and the key that the conversation remembers: only what a call has asked for. */
function chooseModel(
  models: Pick<ModelGateway, 'resolve'>,
  wanted: string | null | undefined,
  [remembered, ...others]: readonly (string | null | undefined)[],
): { model: ResolvedModel; key: string | null } {
  if (wanted !== null && wanted !== undefined) {
    const model = models.resolve(wanted, { unknown: 'error' });
    return { model, key: model.key };
  }
  for (const key of [remembered, ...others]) {
    if (key === null || key === undefined) continue;
    const model = models.resolve(key);
    // One that is not configured any more is passed over.
    if (!model.substituted) return { model, key: remembered ?? null };
  }
  return { model: models.resolve(undefined), key: remembered ?? null };
}
