import { readFileSync } from 'node:fs';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { parseDocument } from 'yaml';
import { AppError, type FieldError } from '../core/errors.ts';
import type { EmbeddingConfig, ModelConfig, ModelsConfig, ProviderConfig } from '../runtime/models/config.ts';

export type Environment = Record<string, string | undefined>;

const closed = { additionalProperties: false };
const name = () => Type.String({ minLength: 1, maxLength: 200 });
const milliseconds = () => Type.Integer({ minimum: 1, maximum: 86_400_000 });
const tokens = () => Type.Integer({ minimum: 1, maximum: 100_000_000 });
const anyBody = () => Type.Record(Type.String(), Type.Unknown());

const Timeouts = Type.Object({ firstTokenMs: milliseconds(), idleMs: milliseconds(), totalMs: milliseconds() }, closed);
const Retry = Type.Object(
  {
    maxAttempts: Type.Integer({ minimum: 1, maximum: 20 }),
    baseDelayMs: Type.Integer({ minimum: 0, maximum: 600_000 }),
    maxDelayMs: Type.Integer({ minimum: 0, maximum: 600_000 }),
    jitter: Type.Number({ minimum: 0, maximum: 1 }),
  },
  closed,
);

const Provider = Type.Object(
  {
    kind: Type.Enum(['openai', 'azure', 'gemini', 'offline']),
    baseUrl: Type.Optional(Type.String({ minLength: 1 })),
    baseUrlEnv: Type.Optional(name()),
    apiKeyEnv: Type.Optional(name()),
    apiKeyRequired: Type.Optional(Type.Boolean()),
    apiVersion: Type.Optional(name()),
    apiVersionEnv: Type.Optional(name()),
    jsonMode: Type.Optional(Type.Enum(['schema', 'object', 'prompt'])),
    streamUsage: Type.Optional(Type.Boolean()),
  },
  closed,
);

const Model = Type.Object(
  {
    name: name(),
    provider: name(),
    model: name(),
    modelEnv: Type.Optional(name()),
    thinkingModel: Type.Optional(name()),
    contextWindow: Type.Optional(tokens()),
    maxOutputTokens: Type.Optional(tokens()),
    supportsThinking: Type.Optional(Type.Boolean()),
    multimodal: Type.Optional(Type.Boolean()),
    supportsTemperature: Type.Optional(Type.Boolean()),
    returnThinking: Type.Optional(Type.Boolean()),
    fallback: Type.Optional(Type.Array(name(), { maxItems: 8 })),
    timeouts: Type.Optional(Type.Partial(Timeouts, closed)),
    retry: Type.Optional(Type.Partial(Retry, closed)),
    body: Type.Optional(
      Type.Object(
        {
          always: Type.Optional(anyBody()),
          thinking: Type.Optional(anyBody()),
          noThinking: Type.Optional(anyBody()),
        },
        closed,
      ),
    ),
    price: Type.Optional(
      Type.Object(
        {
          input: Type.Number({ minimum: 0 }),
          output: Type.Number({ minimum: 0 }),
          cachedInput: Type.Optional(Type.Number({ minimum: 0 })),
          currency: Type.String({ pattern: '^[A-Z]{3}$' }),
        },
        closed,
      ),
    ),
  },
  closed,
);

const Embeddings = Type.Object(
  {
    provider: name(),
    providerEnv: Type.Optional(name()),
    model: Type.Optional(name()),
    modelEnv: Type.Optional(name()),
    batch: Type.Optional(Type.Integer({ minimum: 1, maximum: 2048 })),
    passagePrefix: Type.Optional(Type.String({ maxLength: 200 })),
    queryPrefix: Type.Optional(Type.String({ maxLength: 200 })),
  },
  closed,
);

const File = Type.Object(
  {
    default: Type.Union([name(), Type.Array(name(), { minItems: 1 })]),
    defaultEnv: Type.Optional(name()),
    offlineFallback: Type.Boolean(),
    offlineFallbackEnv: Type.Optional(name()),
    defaults: Type.Object(
      { contextWindow: tokens(), maxOutputTokens: tokens(), timeouts: Timeouts, retry: Retry },
      closed,
    ),
    providers: Type.Record(Type.String(), Provider),
    models: Type.Record(Type.String(), Model),
    embeddings: Type.Optional(Embeddings),
    aliases: Type.Optional(Type.Record(Type.String(), name())),
  },
  closed,
);

type File = Static<typeof File>;

const validator = Compile(File);
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const refuse = (source: string, fields: FieldError[]): never => {
  const first = fields[0] ?? { field: '(file)', message: { zh: '无效', en: 'is invalid' } };
  throw new AppError(
    'invalid',
    'MODELS_CONFIG_INVALID',
    {
      zh: `模型配置 ${source} 有误：${first.field} ${first.message.zh}`,
      en: `Models configuration ${source}: ${first.field} ${first.message.en}`,
    },
    { fields },
  );
};

const problem = (field: string, zh: string, en: string): FieldError => ({ field, message: { zh, en } });

/** Reads a variable; blank counts as not set. */
const read = (env: Environment, variable: string | undefined): string | undefined => {
  const value = variable === undefined ? undefined : env[variable]?.trim();
  return value === '' ? undefined : value;
};

/**
 * Reads and validates the models file and takes credentials and addresses from the environment.
 *
 * @returns plain data that can be sent to a worker thread; it holds credentials, so log only `redactModelsConfig` of it
 * @throws {AppError} MODELS_CONFIG_INVALID; `fields` name what is wrong
 */
export const loadModelsConfig = (path: string | URL, env: Environment): ModelsConfig =>
  parseModelsConfig(readFileSync(path, 'utf8'), env, String(path).split('/').at(-1));

/** `loadModelsConfig` on text; `source` stands in messages. */
export const parseModelsConfig = (text: string, env: Environment, source = 'models.yaml'): ModelsConfig => {
  const document = parseDocument(text);
  const syntax = document.errors[0];
  if (syntax) {
    const line = syntax.linePos?.[0].line ?? 0;
    refuse(source, [problem(`line ${line}`, '不是有效的 YAML', `is not valid YAML (${syntax.code})`)]);
  }
  const file: unknown = document.toJS();
  if (!validator.Check(file)) {
    refuse(
      source,
      validator.Errors(file).map((error) => {
        const extra = error.keyword === 'additionalProperties' ? error.params.additionalProperties[0] : undefined;
        const missing = error.keyword === 'required' ? error.params.requiredProperties[0] : undefined;
        const path = [...error.instancePath.split('/').slice(1), extra ?? missing].filter((part) => part !== undefined);
        const en =
          extra !== undefined ? 'is not a known setting' : missing !== undefined ? 'is missing' : error.message;
        const zh =
          extra !== undefined ? '不是已知的配置项' : missing !== undefined ? '缺失' : `无效（${error.message}）`;
        return problem(path.join('.') || '(file)', zh, en);
      }),
    );
  }
  return assemble(file as File, env, source);
};

const assemble = (file: File, env: Environment, source: string): ModelsConfig => {
  const problems: FieldError[] = [];
  const providers: Record<string, ProviderConfig> = {};
  for (const [key, section] of Object.entries(file.providers)) {
    if (!NAME.test(key)) problems.push(problem(`providers.${key}`, '名称无效', 'is not a valid name'));
    providers[key] = provider(key, section, env, problems);
  }
  const models: Record<string, ModelConfig> = {};
  for (const [key, section] of Object.entries(file.models)) {
    if (!NAME.test(key) || key === 'default') {
      problems.push(problem(`models.${key}`, '名称无效', 'is not a valid key (`default` is reserved)'));
    }
    const home = providers[section.provider];
    if (!home) {
      problems.push(problem(`models.${key}.provider`, `没有名为 ${section.provider} 的提供方`, 'names no provider'));
      continue;
    }
    for (const [at, other] of (section.fallback ?? []).entries()) {
      if (other === key || !file.models[other]) {
        problems.push(problem(`models.${key}.fallback.${at}`, `不是其他模型的名称：${other}`, 'names no other model'));
      }
    }
    models[key] = model(key, section, home, file.defaults, env);
  }
  for (const [alias, key] of Object.entries(file.aliases ?? {})) {
    if (!file.models[key]) problems.push(problem(`aliases.${alias}`, `没有名为 ${key} 的模型`, 'names no model'));
    if (!NAME.test(alias) || file.models[alias] || alias === 'default') {
      problems.push(problem(`aliases.${alias}`, '名称无效或已被使用', 'is not valid or already taken'));
    }
  }
  const aliases = { ...file.aliases };
  const wanted = read(env, file.defaultEnv);
  const listed = wanted !== undefined ? [wanted] : [file.default].flat();
  const defaults = listed.map((key) => aliases[key] ?? key);
  for (const [at, key] of defaults.entries()) {
    const field = wanted !== undefined ? String(file.defaultEnv) : `default.${at}`;
    if (!file.models[key]) problems.push(problem(field, `没有名为 ${key} 的模型`, 'names no model'));
  }
  const standIn = read(env, file.offlineFallbackEnv);
  if (standIn !== undefined && !/^(true|false)$/.test(standIn)) {
    problems.push(problem(String(file.offlineFallbackEnv), '只能是 true 或 false', 'must be true or false'));
  }
  const embeddings = file.embeddings && embedding(file.embeddings, providers, env, problems);
  if (problems.length > 0) refuse(source, problems);
  return {
    defaultKey: defaults.find((key) => models[key]?.available) ?? String(defaults[0]),
    offlineFallback: standIn === undefined ? file.offlineFallback : standIn === 'true',
    providers,
    models,
    ...(embeddings && { embeddings }),
    aliases,
    defaults: file.defaults,
  };
};

const provider = (
  key: string,
  section: Static<typeof Provider>,
  env: Environment,
  problems: FieldError[],
): ProviderConfig => {
  const missing: string[] = [];
  const apiKey = read(env, section.apiKeyEnv);
  const baseUrl = read(env, section.baseUrlEnv) ?? section.baseUrl;
  const apiVersion = read(env, section.apiVersionEnv) ?? section.apiVersion;
  if (section.kind !== 'offline') {
    if (apiKey === undefined && section.apiKeyRequired !== false) {
      if (section.apiKeyEnv === undefined) problems.push(problem(`providers.${key}.apiKeyEnv`, '缺失', 'is missing'));
      else missing.push(section.apiKeyEnv);
    }
    if (baseUrl === undefined) {
      if (section.baseUrlEnv === undefined) problems.push(problem(`providers.${key}.baseUrl`, '缺失', 'is missing'));
      else missing.push(section.baseUrlEnv);
    } else if (!/^https?:$/.test(URL.parse(baseUrl)?.protocol ?? '')) {
      const field = read(env, section.baseUrlEnv) === undefined ? `providers.${key}.baseUrl` : `${section.baseUrlEnv}`;
      problems.push(problem(field, '不是 http 或 https 地址', 'is not an http or https address'));
    }
    if (section.kind === 'azure' && apiVersion === undefined) {
      problems.push(problem(`providers.${key}.apiVersion`, '缺失', 'is missing'));
    }
  }
  return {
    name: key,
    kind: section.kind,
    ...(baseUrl !== undefined && { baseUrl: baseUrl.replace(/\/+$/, '') }),
    ...(apiKey !== undefined && { apiKey }),
    ...(apiVersion !== undefined && { apiVersion }),
    jsonMode: section.jsonMode ?? 'object',
    streamUsage: section.streamUsage ?? true,
    available: missing.length === 0,
    missing,
  };
};

const model = (
  key: string,
  section: Static<typeof Model>,
  home: ProviderConfig,
  defaults: File['defaults'],
  env: Environment,
): ModelConfig => {
  const contextWindow = section.contextWindow ?? defaults.contextWindow;
  return {
    key,
    name: section.name,
    provider: section.provider,
    model: read(env, section.modelEnv) ?? section.model,
    ...(section.thinkingModel !== undefined && { thinkingModel: section.thinkingModel }),
    contextWindow,
    maxOutputTokens: Math.min(section.maxOutputTokens ?? defaults.maxOutputTokens, contextWindow),
    supportsThinking: section.supportsThinking ?? false,
    multimodal: section.multimodal ?? false,
    supportsTemperature: section.supportsTemperature ?? true,
    returnThinking: section.returnThinking ?? false,
    fallback: section.fallback ?? [],
    timeouts: { ...defaults.timeouts, ...section.timeouts },
    retry: { ...defaults.retry, ...section.retry },
    body: { always: {}, thinking: {}, noThinking: {}, ...section.body },
    ...(section.price && { price: section.price }),
    available: home.available,
    missing: home.missing,
  };
};

/** No model, no vectors: words alone are searched then. */
const embedding = (
  section: Static<typeof Embeddings>,
  providers: Readonly<Record<string, ProviderConfig>>,
  env: Environment,
  problems: FieldError[],
): EmbeddingConfig | undefined => {
  const named = read(env, section.modelEnv) ?? section.model;
  if (named === undefined) return undefined;
  const provider = read(env, section.providerEnv) ?? section.provider;
  const kind = providers[provider]?.kind;
  if (kind !== 'openai' && kind !== 'gemini') {
    problems.push(
      problem(
        'embeddings.provider',
        `${provider} 不是兼容 OpenAI 的提供方`,
        `${provider} is no OpenAI-compatible provider`,
      ),
    );
  }
  const { batch = 64, passagePrefix = '', queryPrefix = '' } = section;
  return { provider, model: named, batch, passagePrefix, queryPrefix };
};

/** A copy for logs and for people: credentials are replaced, user names, passwords and queries leave the addresses. */
export const redactModelsConfig = (config: ModelsConfig): ModelsConfig => ({
  ...structuredClone(config),
  providers: Object.fromEntries(
    Object.entries(config.providers).map(([key, section]) => {
      const url = section.baseUrl === undefined ? undefined : URL.parse(section.baseUrl);
      return [
        key,
        {
          ...section,
          ...(section.apiKey !== undefined && { apiKey: '[redacted]' }),
          ...(url && { baseUrl: `${url.origin}${url.pathname}` }),
        },
      ];
    }),
  ),
});
