import { countRequestTokens, countTokens, type ModelMessage, type ModelTool } from '../../../runtime/models/index.ts';
import type { LeftOut } from './call.ts';

/** Characters that are kept of a tool result of an earlier turn when room is short. */
const SHORT_RESULT = 1000;
/** Limits for the results of the present turn, tried one after another. */
const RESULT_LIMITS = [8000, 4000, 2000, 1000, 400];

export interface Window {
  /** Tokens of question and answer together. */
  contextWindow: number;
  maxOutputTokens: number;
  /** Whether the model reads pictures. */
  multimodal: boolean;
}

export interface Fitted {
  messages: ModelMessage[];
  /** Tokens that are left for the answer. */
  maxTokens: number;
  leftOut: LeftOut;
}

/**
 * Cuts a conversation to the window of a model: first tool results of earlier turns are shortened, then the oldest turns are left out as
 * a whole, then the results of the present turn are shortened, at last its oldest steps are left out. System text and the message that
 * is to be answered stay. What still does not fit is sent all the same: the provider counts exactly, this here is an estimate.
 *
 * @param share part of the room that may be filled, 0-1; the rest is a margin for wrong estimates
 */
export function fitToWindow(
  request: { system: string; messages: readonly ModelMessage[]; tools: readonly ModelTool[]; maxTokens?: number },
  { contextWindow, maxOutputTokens, multimodal }: Window,
  share: number,
): Fitted {
  const most = Math.min(maxOutputTokens, Math.floor(contextWindow / 2));
  const maxTokens = Math.min(request.maxTokens ?? most, most);
  const system: ModelMessage[] = request.system.trim() === '' ? [] : [{ role: 'system', content: request.system }];
  const room = (contextWindow - maxTokens) * share - countRequestTokens(system, request.tools);
  const turns = toTurns(paired(request.messages)).map((turn, at, all) =>
    turn.map((message) => counted(at === all.length - 1 ? message : asPast(message, multimodal))),
  );
  const leftOut = { turns: 0, results: 0 };
  let total = turns.flat().reduce((sum, { tokens }) => sum + tokens, 0);

  const shorten = (turn: Counted[], limit: number, from = 0, to = turn.length) => {
    for (let at = from; at < to && total > room; at += 1) {
      const one = turn[at];
      if (one?.message.role !== 'tool' || one.message.content.length <= limit) continue;
      const content = `${one.message.content.slice(0, limit)}\n[shortened to fit the context window]`;
      const shorter = counted({ ...one.message, content });
      if (!one.shortened) leftOut.results += 1;
      total += shorter.tokens - one.tokens;
      turn[at] = { ...shorter, shortened: true };
    }
  };

  for (const turn of turns.slice(0, -1)) shorten(turn, SHORT_RESULT);
  while (total > room && turns.length > 1) {
    for (const { tokens, shortened } of turns.shift() ?? []) {
      total -= tokens;
      // It is not there at all any more.
      if (shortened) leftOut.results -= 1;
    }
    leftOut.turns += 1;
  }
  const present = turns[0] ?? [];
  if (total > room && turns.length === 1) {
    const lastStep = present.findLastIndex(({ message }) => message.role === 'assistant');
    shorten(present, SHORT_RESULT, 0, Math.max(0, lastStep));
    for (const limit of RESULT_LIMITS) shorten(present, limit);
    total -= dropSteps(present, total - room, leftOut);
  }
  return { messages: [...system, ...turns.flat().map(({ message }) => message)], maxTokens, leftOut };
}

interface Counted {
  message: ModelMessage;
  tokens: number;
  shortened?: boolean;
}

const counted = (message: ModelMessage): Counted => ({
  message,
  tokens:
    countRequestTokens([message]) +
    (message.role === 'assistant' && message.thinking ? countTokens(message.thinking) : 0),
});

/** Leaves out the oldest steps (an answer with its tool results) of a turn, but for the last. Returns the tokens that this saves. */
function dropSteps(turn: Counted[], surplus: number, leftOut: LeftOut): number {
  const begin = turn.findIndex(({ message }) => message.role === 'assistant');
  let saved = 0;
  while (begin >= 0 && saved < surplus) {
    const next = turn.findIndex(({ message }, at) => at > begin && message.role === 'assistant');
    if (next < 0) break;
    for (const { tokens, message, shortened } of turn.splice(begin, next - begin)) {
      saved += tokens;
      if (message.role === 'tool' && !shortened) leftOut.results += 1;
    }
  }
  return saved;
}

/** Of a turn that is over, thoughts are of no use any more, and pictures only to a model that reads them. */
function asPast(message: ModelMessage, multimodal: boolean): ModelMessage {
  if (message.role === 'assistant' && message.thinking !== undefined) {
    const { thinking: _, ...rest } = message;
    return rest;
  }
  if (message.role !== 'user' || typeof message.content === 'string' || multimodal) return message;
  return {
    role: 'user',
    content: message.content.map((part) => (part.type === 'text' ? part.text : '[picture]')).join('\n'),
  };
}

/** A turn begins with a message of the user. */
function toTurns(messages: readonly ModelMessage[]): ModelMessage[][] {
  const turns: ModelMessage[][] = [];
  let before: ModelMessage['role'] | undefined;
  for (const message of messages) {
    // Several messages of the user in a row are one question.
    if (turns.length === 0 || (message.role === 'user' && before !== 'user')) turns.push([]);
    turns.at(-1)?.push(message);
    before = message.role;
  }
  return turns;
}

/** Every tool call has one result and every result its call: providers refuse anything else, for ever after. */
function paired(messages: readonly ModelMessage[]): ModelMessage[] {
  const result: ModelMessage[] = [];
  const open = new Set<string>();
  const close = () => {
    for (const toolCallId of open) result.push({ role: 'tool', toolCallId, content: 'Error: not carried out' });
    open.clear();
  };
  for (const message of messages) {
    if (message.role === 'tool') {
      if (open.delete(message.toolCallId)) result.push(message);
      continue;
    }
    close();
    result.push(message);
    if (message.role === 'assistant') for (const { id } of message.toolCalls ?? []) open.add(id);
  }
  close();
  return result;
}
