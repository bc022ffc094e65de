import type { ErrorRecord, LocalText } from '../../../core/errors.ts';
import type { RunContext, RunEventInput } from '../../../core/run-kind.ts';
import type { LeftOut } from './call.ts';

type Kind = 'thinking' | 'text';

/** What an attempt left open in the log when it was cut off. */
export interface Leftovers {
  block?: { kind: Kind; content: string } | undefined;
  /** Tool calls that were announced. */
  tools: readonly string[];
}

/** Events that may be on their way to the store before the node is slowed down. */
const MAX_UNDER_WAY = 64;

/** Turns what the node of one iteration says into events of the answer (contracts/tasks.md 2.4). */
export class IterationWriter {
  readonly #emit: RunContext['emit'];
  readonly #iteration: number;
  #block: { kind: Kind; content: string } | undefined;
  #tools: string[] = [];
  /** Whether anything of the answer is in the log. */
  #begun = false;
  #chunks = 0;
  #lastChunkAt: number | undefined;
  #underWay = 0;

  constructor(emit: RunContext['emit'], iteration: number) {
    this.#emit = emit;
    this.#iteration = iteration;
  }

  /** Takes an event of the node. Returns what is to be stored before the node goes on. */
  take(type: string, data: Record<string, unknown>): RunEventInput | false {
    switch (type) {
      case 'text':
      case 'thinking':
        return this.#piece(type, String(data.text));
      case 'tool':
        return this.#tool(String(data.id), String(data.name));
      case 'retry':
        return this.#say(retryEvent(data));
      case 'fallback':
        return this.#say(fallbackEvent(data));
      case 'left_out':
        return this.#say(leftOutEvent(data as unknown as LeftOut));
      case 'again':
        this.#again();
        return false;
      default:
        return false;
    }
  }

  /** Ids of the tool calls that were announced. */
  get announced(): readonly string[] {
    return this.#tools;
  }

  /** The end of what is open, to be stored with the result of the step. */
  end(): RunEventInput[] {
    const block = this.#block;
    this.#block = undefined;
    return block ? [{ type: `${block.kind}_end`, data: { full_content: block.content } }] : [];
  }

  /** The end of an answer that broke off: its blocks, and the tools that it had announced. */
  breakOff(status: 'failed' | 'cancelled'): void {
    for (const { type, data } of [...this.end(), ...endOfTools(this.#tools, status)]) void this.#emit(type, data);
    this.#tools = [];
  }

  #piece(kind: Kind, content: string): RunEventInput | false {
    this.#begun = true;
    if (this.#block?.kind !== kind) {
      this.#close();
      this.#block = { kind, content: '' };
      void this.#emit(`${kind}_start`, { iteration: this.#iteration });
    }
    this.#block.content += content;
    if (kind === 'thinking') return this.#say({ type: 'thinking_chunk', data: { content } });
    const now = performance.now();
    const elapsed = this.#lastChunkAt === undefined ? 0 : Math.round(now - this.#lastChunkAt) / 1000;
    this.#lastChunkAt = now;
    this.#chunks += 1;
    return this.#say({ type: 'text_chunk', data: { content, index: this.#chunks, elapsed } });
  }

  #tool(id: string, name: string): RunEventInput | false {
    this.#begun = true;
    this.#close();
    this.#tools.push(id);
    const message: LocalText = { zh: `正在准备 ${name}`, en: `Preparing ${name}` };
    return this.#say({ type: 'tool_preparing', data: { id, name, message, intent: null } });
  }

  #close() {
    for (const { type, data } of this.end()) void this.#emit(type, data);
  }

  #again() {
    if (!this.#begun) return;
    const left = { block: this.#block, tools: this.#tools };
    for (const { type, data } of closeLeftovers(left, this.#iteration, WORKER_LOST)) void this.#emit(type, data);
    this.#block = undefined;
    this.#tools = [];
    this.#begun = false;
    this.#chunks = 0;
    this.#lastChunkAt = undefined;
  }

  #say(event: RunEventInput): RunEventInput | false {
    // Waiting for each event would cost a write for each; a model that is faster than the store is slowed down all the same.
    if (this.#underWay >= MAX_UNDER_WAY) return event;
    this.#underWay += 1;
    const stored = () => {
      this.#underWay -= 1;
    };
    // The first words of an answer are waited for; of the others nobody notices a moment.
    const mayWait = this.#chunks > 1 && event.type === 'text_chunk';
    this.#emit(event.type, event.data, { mayWait }).then(stored, stored);
    return false;
  }
}

export const SERVER_RESTARTED: LocalText = {
  zh: '服务器已重启，这部分回答将重新生成',
  en: 'The server was restarted; this part of the answer is written anew',
};
const WORKER_LOST: LocalText = {
  zh: '处理被中断，这部分回答将重新生成',
  en: 'The work was cut off; this part of the answer is written anew',
};

/** Closes what an attempt left open, and says that what it wrote in the iteration does not count. */
export function closeLeftovers({ block, tools }: Leftovers, iteration: number, content: LocalText): RunEventInput[] {
  return [
    ...(block ? [{ type: `${block.kind}_end`, data: { full_content: block.content } }] : []),
    ...endOfTools(tools, 'cancelled'),
    discarded(iteration, content),
  ];
}

/** Says that the texts of an iteration so far do not count. */
export const discarded = (iteration: number, content: LocalText): RunEventInput => ({
  type: 'system_message',
  data: { content, discards_iteration: iteration },
});

const endOfTools = (ids: readonly string[], status: 'failed' | 'cancelled'): RunEventInput[] =>
  ids.map((id) => ({ type: 'update_action', data: { preparing_id: id, status, result: null } }));

function retryEvent(data: Record<string, unknown>): RunEventInput {
  const { kind, code, message, details } = data.error as ErrorRecord;
  return {
    type: 'error',
    data: {
      message,
      ...(typeof details?.status === 'number' && { status_code: details.status }),
      error_type: kind,
      error_code: code,
      error_text: message,
      retry: true,
      retry_in: data.retryIn,
      attempt: data.attempt,
      max_attempts: data.maxAttempts,
    },
  };
}

function fallbackEvent({ from, to }: Record<string, unknown>): RunEventInput {
  const content: LocalText = {
    zh: `模型 ${from} 不可用，改由 ${to} 回答`,
    en: `The model ${from} is not available; ${to} answers instead`,
  };
  return { type: 'system_message', data: { content } };
}

function leftOutEvent({ turns, results }: LeftOut): RunEventInput {
  const zh = [turns > 0 && `省略了最早的 ${turns} 轮对话`, results > 0 && `缩短了 ${results} 个工具结果`];
  const en = [
    turns > 0 && `the oldest ${turns} turns were left out`,
    results > 0 && `${results} tool results were shortened`,
  ];
  const title: LocalText = { zh: '上下文已截断', en: 'The context was cut' };
  const message: LocalText = {
    zh: `对话超出模型的上下文窗口：${zh.filter(Boolean).join('，')}`,
    en: `The conversation exceeds the context window of the model: ${en.filter(Boolean).join(', ')}`,
  };
  return { type: 'context_warning', data: { title, message, type: 'warning' } };
}
