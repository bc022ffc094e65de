import { AppError } from '../../../core/errors.ts';
import { defineNode, type NodeContext } from '../../../core/node.ts';
import { Type } from '../../../core/schema.ts';
import {
  collect,
  countRequestTokens,
  countTokens,
  createBatches,
  emptyResult,
  type ModelRequest,
  type ModelResult,
  modelService,
  type ResolvedModel,
  sharedLimits,
} from '../../../runtime/models/index.ts';
import { emitUsage } from '../../../runtime/usage/for-nodes.ts';
import type { ModelAnswer, ModelCall, NodeEvents } from '../loop/call.ts';
import { createCallIds, planCalls } from '../loop/planning.ts';
import { readStructured } from '../loop/structured.ts';
import { fitToWindow } from '../loop/window.ts';

const BATCHES = { chars: 400, ms: 40 };
/** How much of the room is filled, one try after another: estimates of tokens may be wrong. */
const SHARES = [0.9, 0.65, 0.45];

/** One call of the model for the agent loop. Events: `NodeEvents`, and `usage` for whoever counts. */
export default defineNode({
  type: 'agents.model',
  version: 1,
  lane: 'shared',
  callsModel: true,
  // The gateway keeps the time-outs of the model; this is for a gateway that does not.
  timeoutMs: 3_600_000,
  config: Type.Object({}),
  input: Type.Unsafe<ModelCall>({ type: 'object' }),
  output: Type.Unsafe<ModelAnswer>({ type: 'object' }),

  async run(context): Promise<ModelAnswer> {
    const { input, attempt, log, service } = context;
    if (attempt > 1) say(context, 'again', {});
    const model = service(modelService).resolve(input.model);
    if (model.substituted) {
      log('warn', 'The model is not configured; the default model answers', { model: input.model });
    }
    const { offline, model: ref, ...rest } = input;
    const tools = [...input.tools, ...input.clientTools];
    for (const [at, share] of SHARES.entries()) {
      const { messages, maxTokens, leftOut } = fitToWindow({ ...rest, tools }, model, share);
      if (leftOut.turns + leftOut.results > 0) say(context, 'left_out', { ...leftOut, window: model.contextWindow });
      const request: ModelRequest = {
        ...(ref !== undefined && { model: ref }),
        messages,
        maxTokens,
        ...(tools.length > 0 && { tools, toolChoice: input.toolChoice ?? 'auto' }),
        ...(input.temperature !== undefined && { temperature: input.temperature }),
        ...(model.supportsThinking && { thinking: input.thinking }),
        ...(input.responseFormat && { responseFormat: input.responseFormat }),
        ...(input.stop && { stop: input.stop }),
        ...(input.retry && { retry: input.retry }),
        ...(offline && { metadata: offline }),
      };
      try {
        return await ask(context, request, model);
      } catch (error) {
        const tooLong = error instanceof AppError && error.code === 'MODEL_CONTEXT_TOO_LONG';
        if (!tooLong || at === SHARES.length - 1) throw error;
        log('info', 'The model counts more tokens than estimated; the request is cut further', { share });
      }
    }
    throw new Error('unreachable');
  },
});

type Context = NodeContext<unknown, ModelCall>;

const say = <Type extends keyof NodeEvents>({ emit }: Pick<Context, 'emit'>, type: Type, data: NodeEvents[Type]) =>
  emit(type, { ...data });

/** Streams one answer. */
async function ask(
  context: Context,
  request: ModelRequest,
  { key, offline: stoodIn }: Pick<ResolvedModel, 'key' | 'offline'>,
): Promise<ModelAnswer> {
  const { input, signal, log, service } = context;
  const result = emptyResult();
  const idOf = createCallIds();
  const announced = new Set<number>();
  let answering = stoodIn ? 'offline' : key;
  const models = service(modelService);
  const batches = createBatches(
    (type: 'text' | 'thinking', text) => say(context, type, { text }),
    () => sharedLimits(BATCHES, models.active),
  );
  const announce = (index: number, given: string, name: string) => {
    if (name === '' || announced.has(index)) return;
    announced.add(index);
    batches.flush();
    say(context, 'tool', { id: idOf(index, given), name });
  };
  try {
    for await (const event of models.stream(request, { signal })) {
      collect(result, event);
      const room = context.room();
      if (room) await room;
      if (event.type === 'text' || event.type === 'thinking') batches.add(event.type, event.text);
      else if (event.type === 'tool_call_delta') announce(event.index, event.id, event.name);
      else if (event.type === 'retry' || event.type === 'fallback') {
        const { type, error, ...rest } = event;
        log('warn', `model ${type}`, { ...rest, code: error.code });
        if (type === 'retry') say(context, type, event);
        else {
          answering = event.to;
          say(context, type, event);
        }
      }
    }
  } catch (error) {
    // What was begun was paid for.
    if (result.text !== '' || result.thinking !== '')
      emitUsage(context, { ...unfinished(result, request), model: answering });
    throw error;
  } finally {
    batches.flush();
  }
  emitUsage(context, result);
  const { text, thinking, toolCalls, usage, finishReason, model, offline } = result;
  const calls = planCalls(toolCalls, input, idOf);
  const format = request.responseFormat;
  return {
    text,
    thinking,
    calls,
    usage,
    finishReason,
    model,
    offline,
    ...(format?.type === 'json' && calls.length === 0 && { json: readStructured(text, format) }),
  };
}

/** The result of an answer that broke off: what it used can only be estimated. */
function unfinished(result: ModelResult, { messages, tools }: ModelRequest): ModelResult {
  const inputTokens = countRequestTokens(messages, tools);
  const outputTokens = countTokens(result.text) + countTokens(result.thinking);
  const usage = {
    inputTokens,
    outputTokens,
    totalTokens: inputTokens + outputTokens,
    cachedTokens: 0,
    estimated: true,
  };
  return { ...result, usage };
}
