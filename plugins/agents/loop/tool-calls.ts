import { AppError, type LocalText } from '../../../core/errors.ts';
import { RunCancelled, type RunContext, type RunEventInput } from '../../../core/run-kind.ts';
import type { ToolScope } from '../../../core/tool.ts';
import type { ModelMessage } from '../../../runtime/models/index.ts';
import type { ToolService } from '../../../runtime/tools/index.ts';
import { cutText, tellFailure, tellResult } from '../../../runtime/tools/telling.ts';
import type { PlannedCall } from './call.ts';

/** Characters of a tool's result that the model is shown, and that stand in events. */
const MAX_RESULT = 20_000;
const MAX_SHOWN = 2000;

/** Result of the step of one tool call. */
interface Outcome {
  content: string;
  status: 'completed' | 'failed';
  message?: LocalText;
}

/**
 * What the log says of the calls of an answer when the answer is complete; it is stored with its step, so it is there once.
 *
 * @param announced ids of calls that the log has a `tool_preparing` of
 * @param more whether calls are carried out after this answer
 */
export function callsAnnounced(
  runId: string,
  iteration: number,
  calls: readonly PlannedCall[],
  { announced, more }: { announced: readonly string[]; more: boolean },
): RunEventInput[] {
  const known = new Set(calls.map(({ id }) => id));
  return [
    ...calls.flatMap((call, at): RunEventInput[] => {
      const { id, name, intent, refused = more || call.client ? undefined : NO_MORE } = call;
      if (call.client) return [];
      if (refused !== undefined) return [refusedEvent(id, refused)];
      const start = {
        id: displayId(runId, iteration, at),
        name,
        arguments: call.arguments ?? {},
        preparing_id: id,
        monitor_snapshot: null,
      };
      return [
        ...(intent === undefined ? [] : [{ type: 'tool_intent', data: { id, name, intent } }]),
        { type: 'tool_start', data: start },
      ];
    }),
    ...announced.filter((id) => !known.has(id)).map((id) => refusedEvent(id, NOT_CARRIED_OUT)),
  ];
}

const NOT_CARRIED_OUT = 'not carried out';
const NO_MORE = 'not carried out: the most iterations were reached';

const refusedEvent = (id: string, why: string): RunEventInput => ({
  type: 'update_action',
  data: { preparing_id: id, status: 'failed', result: cutText(refusal(why), MAX_SHOWN) },
});

/**
 * Carries the calls of one answer out at the same time, each as a checkpoint. Whatever goes wrong in a tool is told to the model.
 *
 * @returns messages for the model in the order of the calls
 */
export async function carryOut(
  context: RunContext,
  tools: ToolService,
  scope: ToolScope,
  iteration: number,
  calls: readonly PlannedCall[],
): Promise<ModelMessage[]> {
  const settled = await Promise.allSettled(
    calls.map(async (call, at): Promise<ModelMessage> => {
      const content =
        call.refused === undefined
          ? await oneCall(context, tools, scope, call, { iteration, at })
          : refusal(call.refused);
      return { role: 'tool', toolCallId: call.id, content };
    }),
  );
  // All of them have said their last word by now, also those that a cancel ended.
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

async function oneCall(
  context: RunContext,
  tools: ToolService,
  scope: ToolScope,
  call: PlannedCall,
  place: { iteration: number; at: number },
): Promise<string> {
  const key = `t${place.iteration}.${place.at + 1}`;
  const update = (status: Outcome['status'] | 'cancelled', result: string | null, message?: LocalText) => ({
    type: 'update_action',
    data: {
      id: displayId(context.runId, place.iteration, place.at),
      preparing_id: call.id,
      status,
      result,
      ...(message && { message }),
    },
  });
  try {
    const { content } = await context.step(key, () => use(context, tools, scope, call, key), {
      events: ({ status, content: told, message }) => [update(status, cutText(told, MAX_SHOWN), message)],
    });
    return content;
  } catch (error) {
    if (context.signal.reason instanceof RunCancelled) {
      const { type, data } = update('cancelled', null);
      void context.emit(type, data);
    }
    throw error;
  }
}

async function use(
  context: RunContext,
  tools: ToolService,
  scope: ToolScope,
  call: PlannedCall,
  key: string,
): Promise<Outcome> {
  const { runId, signal } = context;
  const log = context.log.child({ tool: call.name, step: key });
  let nodes = 0;
  try {
    const result = await tools.call({
      name: call.name,
      arguments: call.arguments ?? {},
      scope,
      runId,
      idempotencyKey: `${runId}:${key}`,
      signal,
      log,
      emit: (type, data) => void context.emit(type, data),
      node: (node) => {
        nodes += 1;
        return context.node(`${key}.n${nodes}`, node);
      },
    });
    return { content: cutText(tellResult(result), MAX_RESULT), status: 'completed' };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    log[error instanceof AppError ? 'info' : 'warn']({ err: error }, 'tool: failed, the model is told');
    return {
      content: tellFailure(error),
      status: 'failed',
      ...(error instanceof AppError && { message: error.text }),
    };
  }
}

const displayId = (runId: string, iteration: number, at: number) => `tool-${runId}-${iteration}.${at + 1}`;
const refusal = (why: string) => `Error: ${why}`;
