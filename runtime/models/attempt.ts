import { randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';
import { outputTooLarge, streamBroken } from './errors.ts';
import { guard } from './guard.ts';
import type { Found } from './registry.ts';
import type { ModelSource, SourcePart } from './source.ts';
import { countRequestTokens, countTokens } from './tokens.ts';
import type { FinishReason, ModelEvent, ModelRequest, ToolCall, Usage } from './types.ts';

/** Characters of one answer, thinking and tool arguments included. */
const MAX_OUTPUT = 4 * 1024 * 1024;

interface PartialCall {
  id: string;
  name: string;
  raw: string;
}

/** One call to one model: reads the source under its time limits and gives the events of an answer. */
export async function* attempt(
  source: ModelSource,
  { model, provider, offline }: Found,
  request: ModelRequest,
  { signal, clock }: { signal: AbortSignal; clock: Clock },
): AsyncGenerator<ModelEvent> {
  await source.ready?.();
  const controller = new AbortController();
  const parts = guard(source({ model, provider, request, signal: controller.signal }), controller, {
    signal,
    timeouts: { ...model.timeouts, ...request.timeouts },
    clock,
  });
  const calls = new CallCollector();
  let text = '';
  let length = 0;
  let usage: Usage | undefined;
  let reason: FinishReason | undefined;
  for await (const part of parts) {
    length += sizeOf(part);
    if (length > MAX_OUTPUT) throw outputTooLarge(MAX_OUTPUT);
    switch (part.type) {
      case 'text':
      case 'thinking':
        text += part.text;
        yield part;
        break;
      case 'tool': {
        const call = calls.add(part);
        yield { type: 'tool_call_delta', index: call.index, id: call.id, name: call.name, arguments: part.arguments };
        break;
      }
      case 'usage': {
        const { type: _, ...figures } = part;
        usage = { ...figures, estimated: false };
        break;
      }
      case 'finish':
        reason = part.reason;
        break;
      case 'alive':
        break;
    }
  }
  if (reason === undefined) throw streamBroken(length === 0 ? 'no answer' : 'no finish reason');
  for (const call of calls.finished()) {
    text += call.name + call.raw;
    yield { type: 'tool_call', ...call };
  }
  yield { type: 'usage', ...(usage ?? estimate(request, text)) };
  // Some servers say `stop` after tool calls.
  if (reason === 'stop' && calls.size > 0) reason = 'tool_calls';
  yield { type: 'finish', reason, model: offline ? 'offline' : model.key, offline };
}

const sizeOf = (part: SourcePart): number => {
  if (part.type === 'text' || part.type === 'thinking') return part.text.length;
  return part.type === 'tool' ? part.arguments.length + 1 : 0;
};

const estimate = (request: ModelRequest, output: string): Usage => {
  const inputTokens = countRequestTokens(request.messages, request.tools);
  const outputTokens = countTokens(output);
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, cachedTokens: 0, estimated: true };
};

/** Puts tool calls together that come in pieces. */
class CallCollector {
  readonly #calls: PartialCall[] = [];
  /** Index of the provider to index in `#calls`. */
  readonly #open = new Map<number, number>();

  get size() {
    return this.#calls.length;
  }

  add(part: Extract<SourcePart, { type: 'tool' }>): PartialCall & { index: number } {
    let index = this.#open.get(part.index);
    let call = index === undefined ? undefined : this.#calls[index];
    // Some servers give all parallel calls the same index: a new id or a second name begins a new call.
    const another =
      call && ((part.id !== undefined && part.id !== call.id) || (part.name !== undefined && call.raw !== ''));
    if (!call || index === undefined || (another && part.name !== undefined)) {
      index = this.#calls.length;
      call = { id: part.id ?? `call_${randomUUID()}`, name: '', raw: '' };
      this.#calls.push(call);
      this.#open.set(part.index, index);
    }
    if (part.name !== undefined) call.name = part.name;
    call.raw += part.arguments;
    return { ...call, index };
  }

  finished(): ToolCall[] {
    return this.#calls.map(({ id, name, raw }) => ({ id, name, raw, ...parseArguments(raw) }));
  }
}

/** Reads tool arguments. No text at all means no arguments. */
const parseArguments = (raw: string): Pick<ToolCall, 'arguments' | 'invalid'> => {
  if (raw.trim() === '') return { arguments: {} };
  try {
    const value: unknown = JSON.parse(raw);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return { arguments: value as Record<string, unknown> };
    }
    return { arguments: null, invalid: 'not a JSON object' };
  } catch (error) {
    return { arguments: null, invalid: error instanceof Error ? error.message.slice(0, 200) : 'not JSON' };
  }
};
