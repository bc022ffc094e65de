import { createSchemaCheck } from '../../core/node-check.ts';
import { freeObject, type Static, Type } from '../../core/schema.ts';
import { requestInvalid, unsupported } from './errors.ts';

/** Parts of the request that are checked one by one, so that a message can say which is wrong. */

const NAME = '^[a-zA-Z0-9_-]{1,64}$';

const textPart = Type.Object({ type: Type.Literal('text'), text: Type.String() });
const imagePart = Type.Object({
  type: Type.Literal('image_url'),
  image_url: Type.Object({ url: Type.String({ pattern: '^(https:|data:image/)' }) }),
});
const refusalPart = Type.Object({ type: Type.Literal('refusal'), refusal: Type.String() });

const toolCall = Type.Object({
  id: Type.String({ minLength: 1 }),
  type: Type.Optional(Type.Literal('function')),
  function: Type.Object({ name: Type.String({ minLength: 1 }), arguments: Type.String() }),
});

const tool = Type.Object({
  type: Type.Literal('function'),
  function: Type.Object({
    name: Type.String({ pattern: NAME }),
    description: Type.Optional(Type.String()),
    parameters: Type.Optional(freeObject()),
  }),
});

const request = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 300 }),
  messages: Type.Array(Type.Object({ role: Type.String() }), { minItems: 1, maxItems: 10_000 }),
  stream: Type.Boolean({ default: false }),
  stream_options: Type.Optional(Type.Object({ include_usage: Type.Optional(Type.Boolean()) })),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
  max_tokens: Type.Optional(Type.Integer({ minimum: 1 })),
  max_completion_tokens: Type.Optional(Type.Integer({ minimum: 1 })),
  n: Type.Optional(Type.Integer()),
  tools: Type.Optional(Type.Array(Type.Object({ type: Type.String() }), { maxItems: 128 })),
  parallel_tool_calls: Type.Boolean({ default: true }),
  reasoning_effort: Type.Optional(Type.String()),
  logprobs: Type.Optional(Type.Boolean()),
  modalities: Type.Optional(Type.Array(Type.String())),
});

const jsonSchemaFormat = Type.Object({
  name: Type.Optional(Type.String({ maxLength: 200 })),
  schema: freeObject(),
});

const functionChoice = Type.Object({
  type: Type.Literal('function'),
  function: Type.Object({ name: Type.String() }),
});

/** A check that names the place of what is wrong as OpenAI does. */
function check<T>(schema: Parameters<typeof createSchemaCheck>[0]): (value: unknown, at?: string) => T {
  let place = '';
  const checked = createSchemaCheck(schema, ([first]) => {
    const path = (first?.field ?? '').split('.').filter((part) => part !== '');
    const param = path.reduce(
      (name, part) => (/^\d+$/.test(part) ? `${name}[${part}]` : name === '' ? part : `${name}.${part}`),
      place,
    );
    return requestInvalid(param || 'body', first?.message.zh ?? '不正确', first?.message.en ?? 'is wrong');
  });
  return (value, at = '') => {
    place = at;
    return checked(value) as T;
  };
}

export type ChatRequest = Static<typeof request>;
export type ToolCallPart = Static<typeof toolCall>;
export type ToolPart = Static<typeof tool>;
export type TextPart = Static<typeof textPart>;
export type ImagePart = Static<typeof imagePart>;

export const checkRequest = check<ChatRequest>(request);
export const checkToolCall = check<ToolCallPart>(toolCall);
export const checkTool = check<ToolPart>(tool);
export const checkJsonSchema = check<Static<typeof jsonSchemaFormat>>(jsonSchemaFormat);
export const checkFunctionChoice = check<Static<typeof functionChoice>>(functionChoice);
export const checkText = check<string>(Type.String());
export const checkTexts = check<string[]>(Type.Array(Type.String(), { maxItems: 16 }));
const checkTextPart = check<TextPart>(textPart);
const checkImagePart = check<ImagePart>(imagePart);
const checkRefusalPart = check<Static<typeof refusalPart>>(refusalPart);
const checkPart = check<{ type: string }>(Type.Object({ type: Type.String() }));

/** Text and pictures of a message's content, which is text or a list of parts. */
export function readContent(content: unknown, at: string, images: boolean): (TextPart | ImagePart)[] {
  if (!Array.isArray(content)) return [{ type: 'text', text: checkText(content, at) }];
  return content.map((part, index) => {
    const place = `${at}[${index}]`;
    const { type } = checkPart(part, place);
    if (type === 'text') return checkTextPart(part, place);
    if (type === 'refusal') return { type: 'text', text: checkRefusalPart(part, place).refusal };
    if (type === 'image_url' && images) return checkImagePart(part, place);
    throw unsupported(`${place}.type`);
  });
}
