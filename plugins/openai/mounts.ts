import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/errors.ts';
import type { Mount, MountContext } from '../../core/http/mount.ts';
import { EventStream, type StreamMessage } from '../../core/http/route.ts';
import { completionStopped, errorBody, failureOf, requestInvalid, routeNotFound } from './errors.ts';
import type { Completion, CompletionPiece, CompletionService } from './public.ts';
import { type CompletionRequest, readRequest } from './request.ts';
import { chunksOf, completionObject, modelObject } from './wire.ts';

/** Requests may carry pictures. */
const MAX_BODY_BYTES = 10 << 20;
/** How long a stream waits for the first word, so that what fails before it can be told by a status. */
const FIRST_WORD_MS = 10_000;
const KEY = /^[\x21-\x7e]{1,255}$/;

type Context = Pick<MountContext, 'principal' | 'request' | 'body' | 'touch'>;

/** `/v1`, as clients of OpenAI speak it. */
export function openAiMounts(completions: CompletionService): Mount[] {
  const since = new Date();

  const chat = async (context: Context) => {
    const { principal, request, touch } = context;
    const wanted = readRequest(context.body);
    const key = request.header('idempotency-key');
    if (key !== undefined && !KEY.test(key)) {
      throw requestInvalid('Idempotency-Key', '应为 1 到 255 个可见字符', 'must be 1 to 255 visible characters');
    }
    const completion = await completions.start(principal, wanted, {
      language: request.language,
      ...(key !== undefined && { key }),
    });
    touch(completion.runId, ...(completion.agentId === undefined ? [] : [completion.agentId]));
    // Without a key nobody can ask for this answer again: a client that hangs up has ended it, as it is used to.
    const over = key === undefined ? cancelWith(request.signal, completion) : () => undefined;
    return wanted.stream ? stream(context, completion, wanted, over) : whole(context, completion, wanted, over);
  };

  return [
    {
      method: 'POST',
      path: '/v1/chat/completions',
      summary: { zh: '对话补全（兼容 OpenAI）', en: 'Answers a conversation, as OpenAI’s endpoint does' },
      maxBodyBytes: MAX_BODY_BYTES,
      failure: failureOf,
      handler: chat,
    },
    {
      method: 'GET',
      path: '/v1/models',
      summary: { zh: '模型与智能体', en: 'Models and agents' },
      failure: failureOf,
      handler: async ({ principal }) => {
        const all = await completions.answerers(principal);
        return { body: { object: 'list', data: all.map((one) => modelObject(one, since)) } };
      },
    },
    {
      method: 'GET',
      path: '/v1/models/:id',
      summary: { zh: '一个模型或智能体', en: 'A model or agent' },
      failure: failureOf,
      handler: async ({ principal, params }) => ({
        body: modelObject(await completions.answerer(principal, params.id ?? ''), since),
      }),
    },
    {
      method: 'ANY',
      path: '/v1/{*rest}',
      summary: { zh: '未知路径', en: 'Unknown path' },
      audited: false,
      failure: failureOf,
      handler: async ({ koa }) => {
        throw routeNotFound(koa.method, koa.path);
      },
    },
  ];
}

/** Cancels the answer when the signal fires, unless it is over by then: the returned function says that it is. */
function cancelWith(signal: AbortSignal, completion: Completion): () => void {
  const cancel = () => void completion.cancel('the client has gone away');
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return () => signal.removeEventListener('abort', cancel);
}

async function whole({ request }: Context, completion: Completion, wanted: CompletionRequest, over: () => void) {
  try {
    const result = await completion.finished(request.signal);
    return { body: completionObject(completion, result, wanted) };
  } catch (error) {
    throw request.signal.aborted ? completionStopped() : error;
  } finally {
    if (!request.signal.aborted) over();
  }
}

async function stream({ request }: Context, completion: Completion, wanted: CompletionRequest, over: () => void) {
  const pieces = completion.follow(request.signal)[Symbol.asyncIterator]();
  const first = pieces.next();
  const clock = new AbortController();
  try {
    await Promise.race([first, delay(FIRST_WORD_MS, undefined, { signal: clock.signal })]);
  } catch (error) {
    if (request.signal.aborted) throw completionStopped();
    over();
    throw error;
  } finally {
    clock.abort();
  }
  // When the client goes away before the first message is asked for, nobody else listens.
  first.catch(() => undefined);
  return new EventStream(messages());

  async function* messages(): AsyncGenerator<StreamMessage> {
    const chunks = chunksOf(completion, wanted, wanted.includeUsage);
    try {
      yield { data: chunks.begin() };
      for (let next: IteratorResult<CompletionPiece> = await first; !next.done; next = await pieces.next()) {
        const piece = next.value;
        if (piece.type === 'done') {
          over();
          for (const data of chunks.end(piece.result)) yield { data };
        } else if (piece.type !== 'tool') yield { data: chunks.piece(piece.type, piece.content) };
      }
    } catch (error) {
      if (request.signal.aborted) return;
      over();
      if (!(error instanceof AppError)) request.log.error({ err: error }, 'completion: the stream failed');
      yield { data: errorBody(asAppError(error), request.language) };
    }
    yield { data: '[DONE]' };
  }
}

const asAppError = (error: unknown): AppError =>
  error instanceof AppError
    ? error
    : new AppError('internal', 'INTERNAL_ERROR', { zh: '服务器内部错误', en: 'Internal server error' });
