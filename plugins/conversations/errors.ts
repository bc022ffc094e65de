import { AppError } from '../../core/errors.ts';

/** The conversation does not exist, is deleted, or is not the caller's; callers are never told which. */
export class ConversationNotFoundError extends AppError {
  constructor(conversationId: string) {
    super(
      'not_found',
      'CONVERSATION_NOT_FOUND',
      { zh: '对话不存在', en: 'The conversation does not exist' },
      { details: { conversationId } },
    );
  }
}

/** A message of the conversation is being answered. */
export class ConversationBusyError extends AppError {
  constructor(conversationId: string) {
    super(
      'conflict',
      'CONVERSATION_BUSY',
      { zh: '上一条消息仍在回答中，请稍后再试', en: 'Still answering the message before; try again later' },
      { details: { conversationId } },
    );
  }
}

export class MessageNotFoundError extends AppError {
  constructor(messageId: string) {
    super(
      'not_found',
      'MESSAGE_NOT_FOUND',
      { zh: '消息不存在', en: 'The message does not exist' },
      { details: { messageId } },
    );
  }
}

export class ProjectNotFoundError extends AppError {
  constructor(projectId: string) {
    super(
      'not_found',
      'PROJECT_NOT_FOUND',
      { zh: '项目不存在', en: 'The project does not exist' },
      { details: { projectId } },
    );
  }
}

/** What was asked for makes sense in a project only. */
export class ProjectRequiredError extends AppError {
  constructor(what: 'agent' | 'pin') {
    const message =
      what === 'agent'
        ? { zh: '该智能体只能在项目中使用，请指定项目', en: 'This agent works in projects only; name a project' }
        : {
            zh: '该对话不属于任何项目，无法固定到项目背景',
            en: 'The conversation belongs to no project whose background the message could be part of',
          };
    super('invalid', 'PROJECT_REQUIRED', message, {
      ...(what === 'agent' && { fields: [{ field: 'projectId', message }] }),
    });
  }
}

/** The run that wanted to answer has lost the conversation: it was deleted, or somebody else has it. */
export class ConversationLostError extends AppError {
  constructor(conversationId: string) {
    super(
      'cancelled',
      'CONVERSATION_LOST',
      { zh: '会话已删除或已由其他回答占用', en: 'The conversation was deleted or taken by another answer' },
      { details: { conversationId } },
    );
  }
}

/** The answer was ended before it was complete, for example because its conversation was deleted. */
export class AnswerStoppedError extends AppError {
  constructor() {
    super('cancelled', 'ANSWER_STOPPED', { zh: '回答已停止', en: 'The answer was stopped' });
  }
}

/** The agent is there but switched off; that it exists is nobody's business. */
export class AgentUnavailableError extends AppError {
  constructor(agentId: string) {
    super(
      'not_found',
      'AGENT_NOT_FOUND',
      { zh: '智能体不存在', en: 'The agent does not exist' },
      { details: { agentId } },
    );
  }
}

/** No model of that name is configured. */
export class ModelNameError extends AppError {
  constructor(field: string, name: string) {
    const message = { zh: `没有名为“${name}”的模型`, en: `There is no model named "${name}"` };
    super('invalid', 'MODEL_UNKNOWN', message, { fields: [{ field, message }] });
  }
}

/** There are no knowledge bases in this installation. */
export class KnowledgeBaseUnavailableError extends AppError {
  constructor(baseId: string) {
    super(
      'not_found',
      'KNOWLEDGE_BASE_NOT_FOUND',
      { zh: '知识库不存在', en: 'The knowledge base does not exist' },
      { details: { baseId } },
    );
  }
}
