import { RUN_MODES, type RunMode } from '../run-mode.ts';
import type { Personalization } from './types.ts';

/** Tool categories of the documented server; those without tools here are taken and have no effect. */
const DOCUMENTED_CATEGORIES = [
  'network',
  'mcp',
  'file_edit',
  'read_focus',
  'skills',
  'terminal_realtime',
  'terminal_command',
  'memory',
  'todo',
  'sub_agent',
  'easter_egg',
  'personalization',
  'communication',
];

const SHORT = 20;
const CONSIDERATIONS = 10;
const CONSIDERATION = 50;
const INTERVALS = { least: 1, most: 50 };

/** What names are known; asked anew each time, because tools come and go. */
export interface KnownNames {
  models: readonly string[];
  defaultModel: string;
  toolCategories: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;
type Rule<T> = (value: unknown, known: KnownNames) => T;

interface Field<T> {
  wire: string;
  fallback(known: KnownNames): T;
  rule: Rule<T>;
}

const field = <T>(wire: string, fallback: T | ((known: KnownNames) => T), rule: Rule<T>): Field<T> => ({
  wire,
  fallback: (known) => (typeof fallback === 'function' ? (fallback as (known: KnownNames) => T)(known) : fallback),
  rule,
});

/** Characters as people count them: a pair of surrogates is never cut in two. */
const cut = (text: string, most: number) => [...text].slice(0, most).join('');

const shortText: Rule<string> = (value) => (typeof value === 'string' ? cut(value.trim(), SHORT) : '');

const flag =
  (fallback: boolean): Rule<boolean> =>
  (value) => {
    if (typeof value === 'boolean') return value;
    const said = String(value).trim().toLowerCase();
    if (said === 'true' || said === '1') return true;
    return said === 'false' || said === '0' ? false : fallback;
  };

const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === 'string').map((item) => item.trim()) : [];

function interval(value: unknown): number | null {
  const number = typeof value === 'string' && /^\s*[+-]?\d{1,15}\s*$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number)) return null;
  return Math.min(INTERVALS.most, Math.max(INTERVALS.least, Math.trunc(number)));
}

function runMode(value: unknown): RunMode | null {
  const said = typeof value === 'string' ? value.trim().toLowerCase() : undefined;
  return RUN_MODES.find((mode) => mode === said) ?? null;
}

/** Source: tasks contract, 2.6. */
const FIELDS: { [Name in keyof Personalization]: Field<Personalization[Name]> } = {
  enabled: field('enabled', false, flag(false)),
  selfIdentify: field('self_identify', '', shortText),
  userName: field('user_name', '', shortText),
  profession: field('profession', '', shortText),
  tone: field('tone', '', shortText),
  considerations: field<string[]>(
    'considerations',
    () => [],
    (value) =>
      texts(value)
        .filter((text) => text !== '')
        .slice(0, CONSIDERATIONS)
        .map((text) => cut(text, CONSIDERATION)),
  ),
  thinkingInterval: field('thinking_interval', null, interval),
  disabledToolCategories: field<string[]>(
    'disabled_tool_categories',
    () => [],
    (value, { toolCategories }) => [
      ...new Set(texts(value).filter((id) => DOCUMENTED_CATEGORIES.includes(id) || toolCategories.includes(id))),
    ],
  ),
  defaultRunMode: field('default_run_mode', null, runMode),
  autoGenerateTitle: field('auto_generate_title', true, flag(true)),
  toolIntentEnabled: field('tool_intent_enabled', true, flag(true)),
  defaultModel: field(
    'default_model',
    ({ defaultModel }) => defaultModel,
    (value, { models, defaultModel }) => models.find((key) => key === value) ?? defaultModel,
  ),
};

const ENTRIES = Object.entries(FIELDS) as [keyof Personalization, Field<unknown>][];

/**
 * Brings a personalization in the fields of the tasks document into its limits.
 *
 * @param stored values of the fields that `content` does not name; else the defaults
 */
export function normalise(content: Fields, known: KnownNames, stored?: Personalization): Personalization {
  const made = ENTRIES.map(([name, { wire, rule, fallback }]) => [
    name,
    Object.hasOwn(content, wire) ? rule(content[wire], known) : (stored?.[name] ?? fallback(known)),
  ]);
  return Object.fromEntries(made) as Personalization;
}

/** In the fields of the tasks document. */
export const toWire = (personalization: Personalization): Record<string, unknown> =>
  Object.fromEntries(ENTRIES.map(([name, { wire }]) => [wire, personalization[name]]));

/** What the model is told of a personalization, in Chinese as the rest of the system text; empty when there is nothing to say. */
export function personalizationText(personalization: Personalization): string {
  if (!personalization.enabled) return '';
  const { selfIdentify, userName, profession, tone, considerations } = personalization;
  const lines = [
    selfIdentify && `- 你的自称：${selfIdentify}`,
    userName && `- 对用户的称呼：${userName}`,
    profession && `- 用户的职业：${profession}`,
    tone && `- 交流语气：${tone}`,
    considerations.length > 0 && `- 每次回答都要考虑：\n${considerations.map((text) => `  - ${text}`).join('\n')}`,
  ].filter((line) => typeof line === 'string' && line !== '');
  return lines.length === 0 ? '' : `## 个性化设置\n\n以下是用户的个性化设置，请在回答中遵循：\n${lines.join('\n')}`;
}
