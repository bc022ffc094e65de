import type { ModelConfig, ModelRef, ModelsConfig, ProviderConfig } from './config.ts';
import { unknownModel } from './errors.ts';
import type { ModelInfo, ResolvedModel } from './types.ts';

/** A model with its provider, and whether the default was taken for a name that is not configured. */
export interface Found {
  model: ModelConfig;
  provider: ProviderConfig;
  /** The offline model answers in its place. */
  offline: boolean;
  substituted: boolean;
}

const OFFLINE_PROVIDER: ProviderConfig = {
  name: 'offline',
  kind: 'offline',
  jsonMode: 'schema',
  streamUsage: true,
  available: true,
  missing: [],
};

/** Finds models in the configuration. */
export const createRegistry = (config: ModelsConfig) => {
  const own = <T>(map: Record<string, T>, key: string): T | undefined =>
    Object.hasOwn(map, key) ? map[key] : undefined;

  const found = (model: ModelConfig, substituted = false): Found => {
    const provider = own(config.providers, model.provider) ?? OFFLINE_PROVIDER;
    const offline = provider.kind === 'offline' || (!model.available && config.offlineFallback);
    return { model, provider, offline, substituted };
  };

  const byKey = (key: string): ModelConfig | undefined =>
    key === 'default' ? own(config.models, config.defaultKey) : own(config.models, own(config.aliases, key) ?? key);

  const byProvider = (provider: string | undefined, name: string | undefined): ModelConfig | undefined => {
    if (provider === undefined) {
      return name === undefined
        ? byKey('default')
        : (byKey(name) ?? Object.values(config.models).find((model) => model.model === name));
    }
    const section = own(config.providers, provider);
    if (!section) return undefined;
    const siblings = Object.values(config.models).filter((model) => model.provider === provider);
    if (name === undefined) return siblings[0];
    return (
      siblings.find((model) => model.key === name || model.model === name) ?? {
        key: `${provider}/${name}`,
        name,
        provider,
        model: name,
        ...structuredClone(config.defaults),
        supportsThinking: false,
        // Not known: better to let the provider refuse a picture than to refuse it here.
        multimodal: true,
        supportsTemperature: true,
        returnThinking: false,
        fallback: [],
        body: { always: {}, thinking: {}, noThinking: {} },
        available: section.available,
        missing: section.missing,
      }
    );
  };

  return {
    find(ref: ModelRef | undefined, unknown: 'default' | 'error'): Found {
      const model =
        ref === undefined || ref === ''
          ? byKey('default')
          : typeof ref === 'string'
            ? byKey(ref)
            : byProvider(ref.provider || undefined, ref.model || undefined);
      if (model) return found(model);
      const name = typeof ref === 'object' ? [ref.provider, ref.model].filter(Boolean).join('/') : String(ref);
      const fallback = byKey('default');
      if (unknown === 'error' || !fallback) throw unknownModel(name.slice(0, 100));
      return found(fallback, true);
    },

    /** The models to try after this one; those without credentials are left out. */
    fallbacks: ({ model }: Found): Found[] =>
      model.fallback
        .map((key) => own(config.models, key))
        .filter((other) => other !== undefined)
        .filter((other) => other.available)
        .map((other) => found(other)),

    info({ model, offline }: Found): ModelInfo {
      return {
        key: model.key,
        name: model.name,
        provider: model.provider,
        model: model.model,
        contextWindow: model.contextWindow,
        maxOutputTokens: model.maxOutputTokens,
        supportsThinking: model.supportsThinking,
        multimodal: model.multimodal,
        isDefault: model.key === config.defaultKey,
        available: model.available || offline,
        offline,
      };
    },

    resolved(result: Found): ResolvedModel {
      return { ...this.info(result), kind: result.provider.kind, substituted: result.substituted };
    },

    list(): ModelInfo[] {
      return Object.values(config.models).map((model) => this.info(found(model)));
    },
  };
};

export type Registry = ReturnType<typeof createRegistry>;
