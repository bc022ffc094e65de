/** What a prompt template has places for. */
export interface PromptValues {
  /** `{{projectBackground}}`: text of the project and its pinned messages. */
  background?: string | undefined;
  /** `{{knowledgeBaseContext}}`, `{context}`: passages that were found for the question. */
  context?: string | undefined;
  /** `{{userInput}}`, `{question}`: what is asked. Leave it out where the question follows as a message of its own. */
  question?: string | undefined;
}

type Place = keyof PromptValues;

/** `{{context}}` is taken for `{context}`: somebody who writes it means that. */
const PLACE =
  /\{\{\s*(projectBackground|knowledgeBaseContext|userInput|context|question)\s*\}\}|\{(context|question)\}/g;

const NAMED: Readonly<Record<string, Place>> = {
  projectBackground: 'background',
  knowledgeBaseContext: 'context',
  userInput: 'question',
  context: 'context',
  question: 'question',
};

/** What stands where there is nothing to say, in the language of the template. */
const EMPTY: Readonly<Record<'zh' | 'en', Readonly<Record<Place, string>>>> = {
  zh: { background: '（未提供）', context: '（无）', question: '（见用户消息）' },
  en: { background: '(none)', context: '(none)', question: '(see the user’s message)' },
};

/** Headings for values that a template has no place for. */
const HEADINGS: Readonly<Record<'zh' | 'en', Readonly<Record<'background' | 'context', string>>>> = {
  zh: { background: '项目背景', context: '参考资料' },
  en: { background: 'Project background', context: 'Reference material' },
};

const languageOf = (template: string) => (/\p{Script=Han}/u.test(template) ? 'zh' : 'en');

/** Whether a value has something to say. */
const said = (value: string | undefined): value is string => value !== undefined && value.trim() !== '';

/**
 * A prompt template with its places filled, in one pass: what a value holds is never read as a place again. A place without a value
 * says so in the template's language; all other braces stay as they are.
 */
export function fillPrompt(template: string, values: PromptValues): string {
  const empty = EMPTY[languageOf(template)];
  return template.replace(PLACE, (_, double: string | undefined, single: string | undefined) => {
    const place = NAMED[double ?? single ?? ''] ?? 'context';
    const value = values[place];
    return said(value) ? value : empty[place];
  });
}

/** Which values a template has places for. */
export function placesOf(template: string): ReadonlySet<Place> {
  return new Set([...template.matchAll(PLACE)].map(([, double, single]) => NAMED[double ?? single ?? ''] ?? 'context'));
}

/**
 * The system text of an answer: the template filled, and after it, under headings, background and context that it has no place for.
 */
export function systemText(template: string, values: PromptValues): string {
  const places = placesOf(template);
  const headings = HEADINGS[languageOf(template)];
  const more = (['background', 'context'] as const).flatMap((place) => {
    const value = values[place];
    return said(value) && !places.has(place) ? [`## ${headings[place]}\n\n${value}`] : [];
  });
  return [fillPrompt(template, values), ...more].join('\n\n');
}
