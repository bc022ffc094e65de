/** MongoDB's names of the error codes the store uses. */
const codeNames: Record<number, string> = {
  1: 'InternalError',
  2: 'BadValue',
  9: 'FailedToParse',
  14: 'TypeMismatch',
  17: 'ProtocolError',
  20: 'IllegalOperation',
  22: 'InvalidBSON',
  26: 'NamespaceNotFound',
  27: 'IndexNotFound',
  28: 'PathNotViable',
  40: 'ConflictingUpdateOperators',
  43: 'CursorNotFound',
  48: 'NamespaceExists',
  50: 'MaxTimeMSExpired',
  52: 'DollarPrefixedFieldName',
  54: 'NotSingleValueField',
  59: 'CommandNotFound',
  66: 'ImmutableField',
  67: 'CannotCreateIndex',
  72: 'InvalidOptions',
  73: 'InvalidNamespace',
  85: 'IndexOptionsConflict',
  86: 'IndexKeySpecsConflict',
  115: 'CommandNotSupported',
  121: 'DocumentValidationFailure',
  146: 'ExceededMemoryLimit',
  167: 'CommandOnShardedViewNotSupportedOnMongod',
  168: 'InvalidPipelineOperator',
  171: 'CannotIndexParallelArrays',
  175: 'QueryPlanKilled',
  197: 'InvalidIndexSpecificationOption',
  238: 'NotImplemented',
  241: 'ConversionFailure',
  291: 'NoQueryExecutionPlans',
  292: 'QueryExceededMemoryLimitNoDiskUseAllowed',
  10003: 'CannotGrowDocumentInCappedNamespace',
  10334: 'BSONObjectTooLarge',
  11000: 'DuplicateKey',
  14031: 'OutOfDiskSpace',
};

/** A failure that is answered to the client with a code of MongoDB. */
export class CommandError extends Error {
  readonly code: number;
  readonly codeName: string;
  /** Further fields of the answer, such as `keyPattern` and `keyValue`. */
  readonly extra: Record<string, unknown>;

  constructor(code: number, message: string, extra: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.codeName = codeNames[code] ?? `Location${code}`;
    this.extra = extra;
  }
}

/** Errors of SQLite carry the extended result code in `errcode`; the low byte is the primary one. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}

/** Any thrown value as an error of the wire protocol. */
export function toCommandError(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const sqlite = sqliteCode(error);
  if (sqlite === 13) return new CommandError(14031, 'The disk is full: the write was not stored.');
  if (sqlite !== undefined) return new CommandError(1, `Storage error: ${message}`);
  if (error instanceof RangeError && message.includes('call stack')) {
    return new CommandError(2, 'The expression or document is nested too deeply.');
  }
  // The classes of mingo and bson are not exported under stable names; their messages name the operator at fault.
  const name = error instanceof Error ? error.constructor.name : '';
  if (name === 'MingoError') return new CommandError(2, message);
  if (name.startsWith('BSON')) return new CommandError(22, message);
  return new CommandError(1, message);
}
