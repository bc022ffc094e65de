import type { AppError } from '../errors.ts';
import {
  COMMON_STATUS,
  CONTRACT_NAMES,
  type Contract,
  type ContractName,
  type Failure,
  type Language,
} from './contract.ts';
import { lowcode } from './lowcode.ts';
import { reports } from './reports.ts';
import { research } from './research.ts';
import { studio } from './studio.ts';
import { tasks } from './tasks.ts';

export const contracts: Readonly<Record<ContractName, Contract>> = { reports, studio, tasks, research, lowcode };

/**
 * One error body for clients of several APIs, where the fields of their forms do not collide. `error` is text in tasks and an
 * object in research, so those two have none; then the first contract's form is sent.
 */
export function mergedFailure(names: readonly ContractName[], error: AppError, language: Language, now: Date): Failure {
  const list = names.length > 0 ? names : CONTRACT_NAMES;
  const failures = list.map((name) => contracts[name].failure(error, {}, language, now));
  const [first] = failures;
  if (first === undefined) throw new RangeError('no contract');
  if (list.length === CONTRACT_NAMES.length) return unknownFailure(error, language);
  if (list.includes('tasks') && list.includes('research')) return contracts.research.failure(error, {}, language, now);
  const bodies = failures.map(({ body }) => body);
  return {
    status: Math.max(...failures.map(({ status }) => status)),
    body: Object.assign({}, ...bodies),
    headers: Object.assign({}, ...failures.map(({ headers }) => headers ?? {})),
  };
}

/** The body for a path that no API has: every form's plain fields side by side. */
function unknownFailure(error: AppError, language: Language): Failure {
  const status = COMMON_STATUS[error.kind];
  const message = error.text[language];
  const code = contracts.lowcode.failure(error, {}, language, new Date(0)).body.error_code;
  return {
    status,
    body: {
      code: status,
      message,
      data: null,
      success: false,
      error: message,
      detail: message,
      error_code: code,
      status_code: status,
    },
  };
}
