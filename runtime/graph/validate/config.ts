import { AppError, type LocalText } from '../../../core/errors.ts';
import { parseExpression } from '../expression/parse.ts';
import { parsePath } from '../path.ts';
import { policyProblems } from '../policy.ts';
import { transformProblem } from '../transform/config.ts';

type Data = Readonly<Record<string, unknown>>;

const filled = (value: unknown): value is string => typeof value === 'string' && value.trim() !== '';
const missing = (name: string): LocalText => ({ zh: `缺少配置 ${name}`, en: `${name} is missing` });

/** What the documented node types need in `data`. */
const NEEDS: Readonly<Record<string, (data: Data) => LocalText[]>> = {
  llm: (data) => (filled(data.prompt) ? [] : [missing('prompt')]),
  condition: (data) => (filled(data.expression) ? expressionProblems(data.expression) : [missing('expression')]),
  loop: loopProblems,
  transform: (data) => {
    const found = transformProblem(data);
    return found ? [found] : [];
  },
  agent: (data) =>
    filled(data.agent_id) || Number.isInteger(data.agent_id) || filled(data.instructions)
      ? []
      : [{ zh: '缺少 agent_id 或 instructions', en: 'agent_id or instructions is missing' }],
};

/** Complaints about the configuration of a node, without those of the check of its own type. */
export function configProblems(type: string, data: Data): LocalText[] {
  const needs = Object.hasOwn(NEEDS, type) ? NEEDS[type] : undefined;
  return [...(needs?.(data) ?? []), ...policyProblems(data)];
}

function expressionProblems(source: string): LocalText[] {
  try {
    parseExpression(source);
    return [];
  } catch (error) {
    if (error instanceof AppError) return [error.text];
    throw error;
  }
}

function loopProblems(data: Data): LocalText[] {
  const problems: LocalText[] = [];
  const path = data.items_path;
  if (!filled(path)) problems.push(missing('items_path'));
  else if (!parsePath(path)) problems.push({ zh: 'items_path 不是有效路径', en: 'items_path is not a path' });
  const handling = data.error_handling;
  if (given(handling) && handling !== 'stop' && handling !== 'continue' && handling !== 'remove') {
    problems.push({
      zh: 'error_handling 只能是 stop、continue 或 remove',
      en: 'error_handling must be stop, continue or remove',
    });
  }
  const variable = data.item_variable;
  if (given(variable) && variable !== '' && !(typeof variable === 'string' && parsePath(variable)?.length === 1)) {
    problems.push({ zh: 'item_variable 不是有效名称', en: 'item_variable is not a name' });
  }
  const concurrency = data.concurrency;
  if (given(concurrency) && !(typeof concurrency === 'number' && concurrency >= 1 && concurrency <= 1000)) {
    problems.push({ zh: 'concurrency 必须是 1 到 1000 的数字', en: 'concurrency must be a number from 1 to 1000' });
  }
  return problems;
}

const given = (value: unknown) => value !== undefined && value !== null;
