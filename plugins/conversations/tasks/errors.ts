import { AppError, type LocalText } from '../../../core/errors.ts';
import { RUN_MODES } from '../../agents/public.ts';

export class TaskNotFoundError extends AppError {
  constructor(taskId: string) {
    super('not_found', 'TASK_NOT_FOUND', { zh: '任务不存在', en: 'The task does not exist' }, { details: { taskId } });
  }
}

/** The account has as many tasks running as it may. */
export class TaskRunningError extends AppError {
  constructor(limit: number) {
    super(
      'conflict',
      'TASK_RUNNING',
      limit === 1
        ? { zh: '已有运行中的任务，请等待其结束或先停止', en: 'A task is running; wait for its end or stop it' }
        : {
            zh: `运行中的任务已达上限（${limit}），请稍后再试`,
            en: `As many tasks are running as may be (${limit}); try again later`,
          },
      { details: { limit } },
    );
  }
}

/** Who deletes a conversation that is not there is told so twice: in `error` and in `message`. */
export class ConversationGoneError extends AppError {
  constructor(conversationId: string) {
    super(
      'not_found',
      'CONVERSATION_NOT_FOUND',
      { zh: '对话不存在', en: 'The conversation does not exist' },
      { details: { conversationId, tellsMessage: true } },
    );
  }
}

export class RunModeUnknownError extends AppError {
  constructor() {
    super('invalid', 'RUN_MODE_UNKNOWN', {
      zh: `run_mode 必须是 ${RUN_MODES.join('、')} 之一`,
      en: `run_mode must be one of ${RUN_MODES.join(', ')}`,
    });
  }
}

/** A conversation with a running task cannot be deleted. */
export class ConversationRunningError extends AppError {
  constructor() {
    super('conflict', 'CONVERSATION_RUNNING', {
      zh: '对话中有运行中的任务，请先停止',
      en: 'A task is running in the conversation; stop it first',
    });
  }
}

/** The conversation that a message names cannot be loaded; the document wants 400 where others say not found. */
export class ConversationUnloadableError extends AppError {
  constructor() {
    super('invalid', 'CONVERSATION_UNLOADABLE', { zh: '对话加载失败', en: 'The conversation could not be loaded' });
  }
}

export class MessageEmptyError extends AppError {
  constructor() {
    super('invalid', 'MESSAGE_EMPTY', { zh: '消息不能为空', en: 'The message must not be empty' });
  }
}

const REASONS = {
  many: (_path: string, limit: number) => ({
    zh: `图片不能超过 ${limit} 张`,
    en: `There must not be more than ${limit} images`,
  }),
  missing: (path: string) => ({ zh: `图片不存在：${path}`, en: `There is no image ${path}` }),
  large: (path: string) => ({ zh: `图片过大：${path}`, en: `The image ${path} is too large` }),
  kind: (path: string) => ({
    zh: `不是受支持的图片（PNG、JPEG、GIF、WebP）：${path}`,
    en: `${path} is not an image of a supported kind (PNG, JPEG, GIF, WebP)`,
  }),
  model: (model: string) => ({ zh: `模型 ${model} 不支持图片`, en: `The model ${model} does not read images` }),
} satisfies Record<string, (path: string, limit: number) => LocalText>;

export class ImageRefusedError extends AppError {
  constructor(reason: keyof typeof REASONS, path: string, limit = 0) {
    super('invalid', 'IMAGE_REFUSED', REASONS[reason](path.slice(0, 200), limit), { details: { reason } });
  }
}
