import type { RunEvent } from '../../../runtime/runs/service.ts';

type Event = Pick<RunEvent, 'type' | 'data'>;

/**
 * What a client that can only append is sent of an answer: the texts of the iterations with an empty line between them, so that the
 * pieces put together are the stored answer. When an iteration is written anew (crash of a server or worker), a client that has seen its
 * beginning gets only what goes beyond it; when the new text is another one, it follows after an empty line.
 */
export class TokenStream {
  #iteration: unknown;
  /** Sent of the present iteration. */
  #sent = '';
  #anything = false;
  /** While an iteration is written anew: what was sent of it before, and what there is of it by now. */
  #again: { before: string; text: string } | undefined;

  /** Takes the next event of the log; returns what is to be sent for it, mostly nothing. */
  take({ type, data }: Event): string {
    switch (type) {
      case 'text_start':
        return this.#begin(data.iteration);
      case 'text_chunk':
        return this.#piece(String(data.content));
      case 'system_message':
        return data.discards_iteration === undefined ? '' : this.#discard();
      default:
        return '';
    }
  }

  /** The answer has ended. */
  end(): string {
    const again = this.#again;
    this.#again = undefined;
    // The new text stops within the old one.
    return again && again.text !== '' && again.text !== again.before ? this.#send(`\n\n${again.text}`) : '';
  }

  #begin(iteration: unknown): string {
    if (iteration === this.#iteration) return '';
    const rest = this.#again?.text === '' ? '' : this.end();
    this.#iteration = iteration;
    if (this.#again === undefined) this.#sent = '';
    return rest;
  }

  #discard(): string {
    const before = this.#again?.before ?? this.#sent;
    this.#again = before === '' ? undefined : { before, text: '' };
    return '';
  }

  #piece(content: string): string {
    const again = this.#again;
    if (again === undefined) {
      const gap = this.#sent === '' && this.#anything ? '\n\n' : '';
      this.#sent += content;
      return content === '' ? '' : this.#send(gap + content);
    }
    again.text += content;
    if (again.before.startsWith(again.text)) return '';
    this.#again = undefined;
    this.#sent = again.text;
    if (again.text.startsWith(again.before)) return this.#send(again.text.slice(again.before.length));
    return this.#send(`\n\n${again.text}`);
  }

  #send(text: string): string {
    this.#anything ||= text !== '';
    return text;
  }
}
