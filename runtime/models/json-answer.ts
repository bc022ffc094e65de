import type { ModelRequest } from './types.ts';

/** Says in words what the provider cannot be told by schema. `json_object` modes also insist on the word JSON. */
export const withJsonInstruction = (request: ModelRequest, mode: 'schema' | 'object' | 'prompt'): ModelRequest => {
  const format = request.responseFormat;
  if (format?.type !== 'json' || (mode === 'schema' && format.schema)) return request;
  const schema = format.schema ? ` that follows this JSON Schema:\n${JSON.stringify(format.schema)}` : '.';
  const content = `Answer with one JSON value only, without any text around it${schema}`;
  const [head, ...rest] = request.messages;
  // Joined to the system text, because some servers take one system message only.
  const messages: ModelRequest['messages'] =
    head?.role === 'system'
      ? [{ role: 'system', content: `${head.content}\n\n${content}` }, ...rest]
      : [{ role: 'system', content }, ...request.messages];
  return { ...request, messages };
};

/** Reads a JSON answer; a code fence around it and text before or after it are tolerated. */
export const parseJsonAnswer = (text: string): { value: unknown } | { error: string } => {
  const fenced = /```(?:json)?\s*([\s\S]*?)```/i.exec(text)?.[1];
  const candidates = [text, fenced, between(text, '{', '}'), between(text, '[', ']')];
  let error = 'empty answer';
  for (const candidate of candidates) {
    if (candidate === undefined || candidate.trim() === '') continue;
    try {
      return { value: JSON.parse(candidate) };
    } catch (cause) {
      if (candidate === text && cause instanceof Error) error = cause.message.slice(0, 200);
    }
  }
  return { error };
};

const between = (text: string, open: string, close: string): string | undefined => {
  const from = text.indexOf(open);
  const to = text.lastIndexOf(close);
  return from >= 0 && to > from ? text.slice(from, to + 1) : undefined;
};
