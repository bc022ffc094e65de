import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { freeObject, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import type { TaskService } from '../tasks/service.ts';

const label = (zh: string, en: string) => ({ label: { zh, en } });
const name = (zh: string, en: string) => Type.Optional(nullable(text({ maxLength: 200, ...label(zh, en) })));
const promptName = () => name('prompt 名称', 'Prompt');
const personalizationName = () => name('个性化名称', 'Personalization');
/** An empty name is none. */
const nameOf = (given: string | null | undefined): string | null => given || null;

const taskParams = Type.Object({ task_id: Type.String() });
const conversationParams = Type.Object({ conversation_id: Type.String() });

const summary = {
  id: Type.String(),
  title: Type.String(),
  created_at: Type.String({ description: 'local time of the server' }),
  updated_at: Type.String(),
};
const settings = {
  run_mode: Type.String(),
  model_key: nullable(Type.String()),
  custom_prompt_name: nullable(Type.String()),
  personalization_name: nullable(Type.String()),
};

const message = Type.Object({
  role: oneOf(['user', 'assistant', 'tool']),
  content: Type.String(),
  timestamp: Type.String(),
  message_id: Type.String(),
  images: Type.Optional(Type.Array(Type.String())),
  metadata: Type.Optional(freeObject()),
  reasoning_content: Type.Optional(Type.String()),
  tool_calls: Type.Optional(
    Type.Array(
      Type.Object({
        id: Type.String(),
        type: Type.String(),
        function: Type.Object({ name: Type.String(), arguments: Type.String({ description: 'JSON' }) }),
      }),
    ),
  ),
  tool_call_id: Type.Optional(Type.String()),
  name: Type.Optional(Type.String()),
});

const detail = Type.Object({
  ...summary,
  messages: nullable(Type.Array(message)),
  todo_list: nullable(freeObject()),
  metadata: Type.Object({
    project_path: Type.String(),
    thinking_mode: Type.Boolean(),
    ...settings,
    has_images: Type.Boolean(),
    total_messages: Type.Integer(),
    total_tools: Type.Integer(),
    status: Type.String(),
  }),
  token_statistics: Type.Object({
    total_input_tokens: Type.Integer(),
    total_output_tokens: Type.Integer(),
    total_tokens: Type.Integer(),
    current_context_tokens: Type.Integer(),
    updated_at: Type.String(),
  }),
});

const state = Type.Object({
  task_id: Type.String(),
  status: oneOf(['running', 'cancel_requested', 'succeeded', 'failed', 'canceled']),
  created_at: time(),
  updated_at: time(),
  error: nullable(Type.String()),
  events: Type.Array(
    Type.Object({
      idx: Type.Integer(),
      type: Type.String(),
      data: freeObject(),
      ts: Type.Number({ description: 'Unix seconds' }),
    }),
  ),
  next_offset: Type.Integer(),
});

/** Offsets that are none, or below 0, are 0. */
const offsetOf = (given: string | undefined): number => (/^\s*\d{1,15}\s*$/.test(given ?? '') ? Number(given) : 0);

/** Source: tasks document, "创建对话", "发送消息", "轮询进度", "停止任务", "对话查询/删除". */
export const taskRoutes = (tasks: TaskService, defaults: { maxIterations: number }) =>
  defineRoutes('tasks', {
    tag: { zh: '对话与任务', en: 'Conversations and tasks' },
    // A full queue is no fault of the caller's pace: the document knows 503 for it.
    codes: { TENANT_BUSY: 503 },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/conversations',
        auth: 'api',
        summary: { zh: '创建对话', en: 'Makes a conversation' },
        bodyOptional: true,
        body: Type.Object({ prompt_name: promptName(), personalization_name: personalizationName() }),
        reply: Type.Object({ conversation_id: Type.String() }),
        async handler({ principal, body, request: { language } }) {
          const names = {
            promptName: nameOf(body.prompt_name),
            personalizationName: nameOf(body.personalization_name),
          };
          return { conversation_id: await tasks.create(principal, { ...names, language }) };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/messages',
        auth: 'api',
        status: 202,
        summary: { zh: '发送消息，启动后台任务', en: 'Sends a message and has it answered in the background' },
        body: Type.Object({
          message: Type.Optional(Type.String(label('消息', 'Message'))),
          images: Type.Optional(
            nullable(
              Type.Array(Type.Union([Type.String(), Type.Object({ path: Type.String() })]), {
                ...label('图片', 'Images'),
                maxItems: 100,
                description: 'paths in the project directory, or in user_upload',
              }),
            ),
          ),
          conversation_id: name('对话', 'Conversation'),
          model_key: name('模型', 'Model'),
          run_mode: name('运行模式', 'Run mode'),
          thinking_mode: Type.Optional(nullable(Type.Boolean())),
          max_iterations: Type.Optional(
            nullable(Type.Integer({ minimum: 1, ...label('最大迭代次数', 'Most iterations') })),
          ),
          prompt_name: promptName(),
          personalization_name: personalizationName(),
        }),
        reply: Type.Object({
          task_id: Type.String(),
          conversation_id: Type.String(),
          status: Type.String(),
          created_at: time(),
        }),
        errors: [
          'MESSAGE_EMPTY',
          'RUN_MODE_UNKNOWN',
          'CONVERSATION_UNLOADABLE',
          'IMAGE_REFUSED',
          'MODEL_UNKNOWN',
          'PERSONALIZATION_BROKEN',
          'PROMPT_NOT_FOUND',
          'PERSONALIZATION_NOT_FOUND',
          'TASK_RUNNING',
          'CONVERSATION_BUSY',
          'TENANT_BUSY',
          'SHUTTING_DOWN',
        ],
        async handler({ principal, body, request: { language } }) {
          const { taskId, conversationId, createdAt } = await tasks.send(principal, {
            message: body.message ?? '',
            images: (body.images ?? []).map((image) => (typeof image === 'string' ? image : image.path)),
            conversationId: body.conversation_id || undefined,
            modelKey: nameOf(body.model_key),
            runMode: body.run_mode,
            thinkingMode: body.thinking_mode,
            promptName: nameOf(body.prompt_name),
            personalizationName: nameOf(body.personalization_name),
            maxIterations: body.max_iterations ?? defaults.maxIterations,
            language,
          });
          return { task_id: taskId, conversation_id: conversationId, status: 'running', created_at: createdAt };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/tasks/:task_id',
        auth: 'api',
        summary: { zh: '轮询任务进度', en: 'The task and its events from an offset on' },
        params: taskParams,
        query: Type.Object({
          from: Type.Optional(Type.String({ description: 'next_offset of the answer before; default 0' })),
        }),
        reply: Type.Object({ data: state }),
        errors: ['TASK_NOT_FOUND'],
        async handler({ principal, params, query, request: { language } }) {
          const found = await tasks.poll(principal, params.task_id, offsetOf(query.from), language);
          const { taskId, createdAt, updatedAt, nextOffset, ...rest } = found;
          return {
            data: { ...rest, task_id: taskId, created_at: createdAt, updated_at: updatedAt, next_offset: nextOffset },
          };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/tasks/:task_id/cancel',
        auth: 'api',
        summary: { zh: '停止任务', en: 'Asks a task to stop' },
        params: taskParams,
        reply: Type.Object({}),
        errors: ['TASK_NOT_FOUND'],
        async handler({ principal, params }) {
          await tasks.cancel(principal, params.task_id);
          return {};
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/conversations',
        auth: 'api',
        paged: true,
        summary: { zh: '对话列表', en: 'The conversations of the caller, last changed first' },
        reply: Type.Object({ ...summary, ...settings, messages_count: Type.Integer() }),
        handler: ({ principal, paging }) => tasks.list(principal, paging),
      }),
      defineRoute({
        method: 'GET',
        path: '/conversations/:conversation_id',
        auth: 'api',
        summary: { zh: '对话详情', en: 'A conversation, with its messages on request' },
        params: conversationParams,
        query: Type.Object({
          full: Type.Optional(Type.String({ description: '1 or true: with messages' })),
        }),
        reply: Type.Object({ data: detail }),
        errors: ['CONVERSATION_NOT_FOUND'],
        async handler({ principal, params, query: { full = '' } }) {
          const withMessages = ['1', 'true'].includes(full.trim().toLowerCase());
          return { data: await tasks.get(principal, params.conversation_id, withMessages) };
        },
      }),
      defineRoute({
        method: 'DELETE',
        path: '/conversations/:conversation_id',
        auth: 'api',
        summary: { zh: '删除对话', en: 'Deletes a conversation' },
        params: conversationParams,
        reply: Type.Object({ message: Type.String() }),
        errors: ['CONVERSATION_NOT_FOUND', 'CONVERSATION_RUNNING'],
        async handler({ principal, params, request: { language } }) {
          await tasks.remove(principal, params.conversation_id);
          return { message: { zh: '对话已删除', en: 'The conversation was deleted' }[language] };
        },
      }),
    ],
  });
