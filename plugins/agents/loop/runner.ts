import { type RunContext, type RunEventInput, RunInterrupted } from '../../../core/run-kind.ts';
import { invalidJson, type ModelMessage, type RetryPolicy, type Usage } from '../../../runtime/models/index.ts';
import type { RunService } from '../../../runtime/runs/service.ts';
import type { ToolService } from '../../../runtime/tools/index.ts';
import type { AgentAnswer, AgentRunner, AgentTurn } from '../public.ts';
import type { ModelAnswer, ModelCall, PlannedCall } from './call.ts';
import { findLeftovers } from './leftovers.ts';
import { createOffer, type Offer } from './offer.ts';
import { callsAnnounced, carryOut } from './tool-calls.ts';
import { closeLeftovers, discarded, IterationWriter, SERVER_RESTARTED } from './writer.ts';

export interface AgentRunnerParts {
  tools: ToolService;
  runs: RunService;
  /** How calls of the model are repeated that failed before anything was streamed. Default: as the model's configuration says. */
  retry?: Partial<RetryPolicy>;
}

/**
 * The agent loop. Steps of a run: `begin`; per iteration `m<i>` (the call of the model), `t<i>.<n>` (its tool calls, nodes of a tool
 * `t<i>.<n>.n<k>`), `u<i>` (its end). One answer per run.
 */
export const createAgentRunner = (parts: AgentRunnerParts): AgentRunner => ({
  answer: (context, turn) => new Turn(parts, context, turn).answer(),
});

class Turn {
  readonly #parts: AgentRunnerParts;
  readonly #context: RunContext;
  readonly #turn: AgentTurn;
  /** Steps that earlier attempts have finished. */
  readonly #before: ReadonlySet<string>;
  /** What the model has been told beside system text and tools. */
  readonly #messages: ModelMessage[];
  /** Those of this turn that later turns need. */
  readonly #kept: ModelMessage[] = [];
  readonly #texts: string[] = [];
  readonly #usage: Usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0, cachedTokens: 0, estimated: false };
  #toolCalls = 0;
  #corrected = false;
  #lookedBack = false;
  #warned = false;

  constructor(parts: AgentRunnerParts, context: RunContext, turn: AgentTurn) {
    this.#parts = parts;
    this.#context = context;
    this.#turn = turn;
    this.#before = new Set(context.finished());
    this.#messages = [...turn.history, ...question(turn)];
  }

  async answer(): Promise<AgentAnswer> {
    const { tools } = this.#parts;
    const scope = { ...this.#turn.scope, principal: this.#context.principal };
    this.#note('begin', [{ type: 'ai_message_start', data: {} }]);
    const selected = this.#turn.tools.names?.length === 0 ? [] : await tools.select(this.#turn.tools, scope);
    const offer = createOffer(this.#turn, selected);
    for (let iteration = 1; ; iteration += 1) {
      const last = iteration >= this.#turn.maxIterations;
      const answer = await this.#ask(iteration, offer(iteration));
      this.#count(answer.usage);
      if (answer.text !== '') this.#texts.push(answer.text);
      if (answer.json && 'problem' in answer.json) {
        this.#correct(iteration, answer, answer.json.problem);
        continue;
      }
      this.#say(answer, last);
      if (last || answer.calls.length === 0 || answer.calls.some(({ client }) => client)) {
        return this.#end(iteration, answer, last);
      }
      const results = await carryOut(this.#context, tools, scope, iteration, answer.calls);
      this.#toolCalls += carriedOut(answer.calls);
      this.#messages.push(...results);
      this.#kept.push(...results);
      this.#note(`u${iteration}`, [this.#tokenUpdate(answer.usage)]);
    }
  }

  /** One call of the model. */
  async #ask(iteration: number, offer: Offer): Promise<ModelAnswer> {
    const context = this.#context;
    await this.#lookBack(iteration);
    const writer = new IterationWriter(context.emit, iteration);
    const input = this.#request(offer);
    const last = iteration >= this.#turn.maxIterations;
    try {
      return await context.node<ModelAnswer>(
        `m${iteration}`,
        { type: 'agents.model', version: 1, input },
        {
          onEvent: (type, data) => (this.#isRepeated(type) ? false : writer.take(type, data)),
          events: (answer) => [
            ...writer.end(),
            ...callsAnnounced(context.runId, iteration, answer.calls, { announced: writer.announced, more: !last }),
            ...(isFinal(answer, last) ? [this.#tokenUpdate(answer.usage, this.#totalWith(answer.usage))] : []),
          ],
        },
      );
    } catch (error) {
      const { reason } = context.signal;
      // What is interrupted goes on later, and is closed by whoever takes it up.
      if (!(reason instanceof RunInterrupted)) writer.breakOff(context.signal.aborted ? 'cancelled' : 'failed');
      throw error;
    }
  }

  /** That the window is too small is said once, not in every iteration. */
  #isRepeated(type: string): boolean {
    if (type !== 'left_out') return false;
    const repeated = this.#warned;
    this.#warned = true;
    return repeated;
  }

  /** The first call that has no result may have been under way when the server died: closes what it left open. */
  async #lookBack(iteration: number): Promise<void> {
    const context = this.#context;
    if (this.#lookedBack || context.attempt === 1 || this.#before.has(`m${iteration}`)) return;
    this.#lookedBack = true;
    if (!this.#before.has(iteration === 1 ? 'begin' : `u${iteration - 1}`)) return;
    const since = iteration === 1 ? 'ai_message_start' : 'token_update';
    const left = await findLeftovers(this.#parts.runs, context, since);
    if (!left) return;
    for (const { type, data } of closeLeftovers(left, iteration, SERVER_RESTARTED)) void context.emit(type, data);
  }

  #request(offer: Offer): ModelCall {
    const { model, system, temperature, maxTokens, responseFormat, stop, offline } = this.#turn;
    const { retry } = this.#parts;
    return {
      ...(model !== undefined && { model }),
      system,
      messages: this.#messages,
      ...offer,
      ...(temperature !== undefined && { temperature }),
      ...(maxTokens !== undefined && { maxTokens }),
      ...(responseFormat && { responseFormat }),
      ...(stop && { stop }),
      ...(retry && { retry }),
      ...(offline && { offline }),
    };
  }

  #say({ text, thinking, calls }: ModelAnswer, last: boolean) {
    // After the last iteration nobody answers a call any more.
    const toolCalls = last && !calls.some(({ client }) => client) ? [] : calls.map(plain);
    const message: ModelMessage = {
      role: 'assistant',
      content: text,
      ...(thinking !== '' && { thinking }),
      ...(toolCalls.length > 0 && { toolCalls }),
    };
    this.#messages.push(message);
    this.#kept.push(message);
  }

  /** The answer was to be JSON of a form: the model may try once more. */
  #correct(iteration: number, { text, usage }: ModelAnswer, problem: string) {
    if (this.#corrected || iteration >= this.#turn.maxIterations) throw invalidJson(problem);
    this.#corrected = true;
    this.#messages.push(
      { role: 'assistant', content: text },
      { role: 'user', content: `The answer was not accepted: ${problem}. Answer again, with the JSON value only.` },
    );
    this.#note(`u${iteration}`, [discarded(iteration, NOT_JSON), this.#tokenUpdate(usage)]);
  }

  #end(iteration: number, answer: ModelAnswer, last: boolean): AgentAnswer {
    const { text, calls, usage, finishReason, model, offline, json } = answer;
    const wantedMore = last && calls.length > 0 && !calls.some(({ client }) => client);
    return {
      text: json ? text : this.#texts.join('\n\n'),
      messages: this.#kept,
      usage: this.#usage,
      contextTokens: usage.totalTokens,
      iterations: iteration,
      toolCalls: this.#toolCalls,
      finishReason: wantedMore ? 'iterations' : finishReason,
      model,
      offline,
      ...(json && 'value' in json && { json: json.value }),
    };
  }

  #totalWith(usage: Usage): Usage {
    const sum = { ...this.#usage };
    for (const key of ['inputTokens', 'outputTokens', 'totalTokens', 'cachedTokens'] as const) sum[key] += usage[key];
    sum.estimated ||= usage.estimated;
    return sum;
  }

  #count(usage: Usage) {
    Object.assign(this.#usage, this.#totalWith(usage));
  }

  #tokenUpdate({ totalTokens }: Usage, sum: Usage = this.#usage): RunEventInput {
    const { inputTokens = 0, outputTokens = 0 } = this.#turn.usedBefore ?? {};
    return {
      type: 'token_update',
      data: {
        cumulative_input_tokens: inputTokens + sum.inputTokens,
        cumulative_output_tokens: outputTokens + sum.outputTokens,
        cumulative_total_tokens: inputTokens + outputTokens + sum.totalTokens,
        current_context_tokens: totalTokens,
        updated_at: new Date().toISOString(),
      },
    };
  }

  /** Puts events into the log once, whatever happens. */
  #note(key: string, events: RunEventInput[]) {
    // Not awaited: order is kept, and a failure ends the run.
    this.#context.checkpoint([{ key, result: null, events }]).catch(() => undefined);
  }
}

const NOT_JSON = {
  zh: '回答不符合要求的 JSON 格式，正在重新生成',
  en: 'The answer was not JSON of the wanted form; it is written anew',
};

function question({ message, images = [] }: AgentTurn): ModelMessage[] {
  if (images.length > 0) {
    // Providers refuse a part without a text.
    const text = message === '' ? [] : [{ type: 'text' as const, text: message }];
    return [{ role: 'user', content: [...text, ...images] }];
  }
  // Without a message the history itself is to be answered, for example results of the caller's tools.
  return message === '' ? [] : [{ role: 'user', content: message }];
}

const carriedOut = (calls: readonly PlannedCall[]) => calls.filter(({ refused }) => refused === undefined).length;

const plain = ({ id, name, arguments: args, raw, invalid }: PlannedCall) => ({
  id,
  name,
  arguments: args,
  raw,
  ...(invalid !== undefined && { invalid }),
});

/** Whether the loop ends with this answer. */
const isFinal = ({ json, calls }: ModelAnswer, last: boolean): boolean =>
  !(json && 'problem' in json) && (last || calls.length === 0 || calls.some(({ client }) => client));
