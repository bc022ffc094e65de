import { AppError, type FieldError, type LocalText } from '../../core/errors.ts';

/** The data source does not exist, or is not the caller's; callers are never told which. */
export class DataSourceNotFoundError extends AppError {
  constructor(dataSourceId: string) {
    super(
      'not_found',
      'DATA_SOURCE_NOT_FOUND',
      { zh: '数据源不存在', en: 'The data source does not exist' },
      { details: { dataSourceId } },
    );
  }
}

/** What went wrong on the other side, in one word. */
export type FailureReason = 'connection' | 'login' | 'timeout' | 'too_large' | 'query' | 'answer' | 'busy' | 'refused';

/** The source could not be reached or did not give what was asked for. The text is for people and holds no secret. */
export class DataSourceError extends AppError {
  constructor(reason: FailureReason, text: LocalText) {
    super('invalid', 'DATA_SOURCE_ERROR', text, { details: { reason } });
  }
}

export class DataSourceInactiveError extends AppError {
  constructor() {
    super('invalid', 'DATA_SOURCE_INACTIVE', { zh: '数据源已停用', en: 'The data source is switched off' });
  }
}

/** Nobody waits for the answer any more. */
export class QueryCancelledError extends AppError {
  constructor() {
    super('cancelled', 'DATA_SOURCE_CANCELLED', { zh: '查询已取消', en: 'The query was cancelled' });
  }
}

export class ConfigInvalidError extends AppError {
  constructor(fields: FieldError[]) {
    super('invalid', 'DATA_SOURCE_CONFIG_INVALID', { zh: '参数校验失败', en: 'Validation failed' }, { fields });
  }
}

export const queryRefused = (zh: string, en: string): AppError =>
  new AppError('invalid', 'QUERY_NOT_ALLOWED', { zh, en });
