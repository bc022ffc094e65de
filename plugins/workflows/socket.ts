import { defineSocket, type SocketContext, type SocketRoute, socketRefusal } from '../../core/http/socket.ts';
import type { RunEvent } from '../../runtime/runs/service.ts';
import type { Execution, ExecutionProgress, ExecutionService } from './public.ts';

/** Source: lowcode document, WebSocket API; the flat fields are those of the running service. */
function statusMessage(execution: Execution, progress: ExecutionProgress, language: 'zh' | 'en') {
  const ended = execution.status === 'completed' || execution.status === 'failed';
  const state = { status: progress.status, progress: progress.progress, current_node: progress.currentNode };
  const more = {
    execution_id: execution.id,
    message: MESSAGES[progress.status][language],
    result: ended ? execution.outputData : null,
    error: ended ? (execution.error?.[language] ?? null) : null,
    execution_time: execution.executionTime,
  };
  return { type: 'status', data: { ...state, ...more }, ...state, ...more };
}

const MESSAGES = {
  pending: { zh: '等待执行', en: 'Waiting for its turn' },
  running: { zh: '执行中', en: 'Running' },
  completed: { zh: '执行完成', en: 'Completed' },
  failed: { zh: '执行失败', en: 'Failed' },
} as const;

/** Follows one execution: its state at once, then every change; closes when it has ended. */
export const executionSocket = (executions: ExecutionService): SocketRoute =>
  defineSocket({
    contract: 'lowcode',
    path: '/ws/executions/:execution_id',

    async handle(context) {
      answerClient(context);
      try {
        await follow(context, executions);
      } catch (error) {
        const refusal = socketRefusal(error);
        if (!refusal) throw error;
        context.send({ type: 'error', message: refusal.text[context.language] });
        context.close(refusal.code, refusal.text.en);
      }
    },
  });

function answerClient({ onMessage, send, language }: SocketContext): void {
  onMessage((message) => {
    const type = typeof message === 'object' && message !== null && 'type' in message ? message.type : undefined;
    if (type === 'ping') send({ type: 'pong' });
    else send({ type: 'error', message: { zh: '无法识别的消息', en: 'The message is not understood' }[language] });
  });
}

async function follow(context: SocketContext, executions: ExecutionService): Promise<void> {
  const { params, language, signal, send } = context;
  const principal = context.caller();
  const id = params.execution_id ?? '';
  let shown = '';
  const show = (execution: Execution, progress: ExecutionProgress) => {
    const state = JSON.stringify(progress);
    if (state === shown) return;
    shown = state;
    send(statusMessage(execution, progress, language));
  };
  const { execution, events } = await executions.follow(principal, id, Number.MAX_SAFE_INTEGER, signal);
  show(execution, await executions.progress(principal, id));
  let current: ExecutionProgress | undefined;
  for await (const event of events) {
    current = changed(event) ?? current;
    if (current) show(execution, current);
  }
  if (signal.aborted) return;
  const ended = await executions.get(principal, id);
  show(ended, await executions.progress(principal, id));
}

/** The state that an event tells; the end is told with the result, when the execution is stored as ended. */
function changed({ type, data }: RunEvent): ExecutionProgress | undefined {
  if (type === 'status') {
    return {
      status: 'running',
      progress: Number(data.progress ?? 0),
      currentNode: (data.current_node as string | null | undefined) ?? null,
    };
  }
  return type === 'execution_started' ? { status: 'running', progress: 0, currentNode: null } : undefined;
}
