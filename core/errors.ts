/**
 * What went wrong, independent of any transport. Each contract maps kinds to its own status codes:
 * a conflict is 409 in one API and 400 in another.
 */
export type ErrorKind =
  | 'invalid' // a field or value is wrong
  | 'malformed' // the request could not be read at all
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'conflict'
  | 'too_large'
  | 'rate_limited'
  | 'quota_exceeded'
  | 'unavailable'
  | 'timeout'
  | 'cancelled'
  | 'internal';

/** A text for people in both languages of the product; Chinese is the default. */
export interface LocalText {
  zh: string;
  en: string;
}

/** One wrong field of a request. `field` is a dotted path in the caller's casing, or a header name. */
export interface FieldError {
  field: string;
  message: LocalText;
}

export interface AppErrorOptions {
  cause?: unknown;
  /** Plain data for clients and logs; never a secret. */
  details?: Record<string, unknown>;
  fields?: FieldError[];
  /** Seconds after which the same request may succeed (sent as `Retry-After`). */
  retryAfter?: number;
}

/**
 * An expected failure. Callers test `code`, never the message or the class; everything else that is
 * thrown is a bug and is answered as `internal`.
 */
export class AppError extends Error {
  readonly kind: ErrorKind;
  /** Unique, stable, upper snake case. */
  readonly code: string;
  readonly text: LocalText;
  readonly details: Record<string, unknown> | undefined;
  readonly fields: FieldError[] | undefined;
  readonly retryAfter: number | undefined;

  constructor(kind: ErrorKind, code: string, text: LocalText, options: AppErrorOptions = {}) {
    super(text.en, { cause: options.cause });
    this.name = 'AppError';
    this.kind = kind;
    this.code = code;
    this.text = text;
    this.details = options.details;
    this.fields = options.fields;
    this.retryAfter = options.retryAfter;
  }
}

/** The plain form in which an error crosses threads, processes and the event log. */
export interface ErrorRecord {
  kind: ErrorKind;
  code: string;
  message: LocalText;
  details?: Record<string, unknown>;
  fields?: FieldError[];
}

/** Turns anything thrown into a record; what is not an `AppError` keeps its message for logs only. */
export function toErrorRecord(error: unknown): ErrorRecord {
  if (error instanceof AppError) {
    const { kind, code, text, details, fields } = error;
    return { kind, code, message: text, ...(details && { details }), ...(fields && { fields }) };
  }
  const message = error instanceof Error ? error.message : String(error);
  return {
    kind: 'internal',
    code: 'INTERNAL_ERROR',
    message: { zh: '服务器内部错误', en: 'Internal server error' },
    details: { reason: message },
  };
}

/** Rebuilds the error of a record on the other side of a thread or process. */
export function fromErrorRecord({ kind, code, message, details, fields }: ErrorRecord): AppError {
  return new AppError(kind, code, message, { ...(details && { details }), ...(fields && { fields }) });
}
