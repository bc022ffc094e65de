import type { ModelTool, ResponseFormat } from '../../runtime/models/index.ts';
import type { AgentTurn, RunMode } from '../agents/public.ts';
import { requestInvalid, unsupported } from './errors.ts';
import { type Conversation, readMessages } from './messages.ts';
import {
  type ChatRequest,
  checkFunctionChoice,
  checkJsonSchema,
  checkRequest,
  checkText,
  checkTexts,
  checkTool,
} from './schema.ts';

/** `POST /v1/chat/completions`, read and checked. */
export interface CompletionRequest extends Conversation {
  /** A model key, or an agent. */
  model: string;
  stream: boolean;
  includeUsage: boolean;
  temperature?: number;
  maxTokens?: number;
  stop?: string[];
  tools: ModelTool[];
  toolChoice?: AgentTurn['toolChoice'];
  /** Otherwise an answer has one call of a tool at most. */
  parallelCalls: boolean;
  responseFormat?: ResponseFormat;
  mode?: RunMode;
}

/** Fields that would change the answer in ways that are not offered. Others that are unknown are passed over. */
const REFUSED = ['functions', 'function_call', 'audio', 'web_search_options'];

/**
 * Reads a request.
 *
 * @throws {AppError} REQUEST_INVALID with the field
 */
export function readRequest(body: unknown): CompletionRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw requestInvalid('body', '应为 JSON 对象', 'must be a JSON object');
  }
  // A field that is null is one that is not there.
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  const checked = checkRequest({ ...given });
  for (const name of REFUSED) if (given[name] !== undefined) throw unsupported(name);
  if (checked.n !== undefined && checked.n !== 1) throw requestInvalid('n', '只支持 1', 'only 1 is supported');
  if (checked.logprobs === true) throw unsupported('logprobs');
  if (checked.modalities?.some((name) => name !== 'text')) throw unsupported('modalities');
  const maxTokens = checked.max_completion_tokens ?? checked.max_tokens;
  const tools = readTools(checked.tools);
  const toolChoice = readChoice(given.tool_choice, tools);
  const stop = readStop(given.stop);
  const responseFormat = readFormat(given.response_format);
  return {
    model: checked.model,
    ...readMessages(checked.messages),
    stream: checked.stream,
    includeUsage: checked.stream_options?.include_usage ?? false,
    ...(checked.temperature !== undefined && { temperature: checked.temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(stop && { stop }),
    tools,
    ...(toolChoice && { toolChoice }),
    parallelCalls: checked.parallel_tool_calls,
    ...(responseFormat && { responseFormat }),
    ...(checked.reasoning_effort !== undefined && { mode: modeOf(checked.reasoning_effort) }),
  };
}

function readTools(tools: ChatRequest['tools'] = []): ModelTool[] {
  const names = new Set<string>();
  return tools.map((one, index) => {
    const at = `tools[${index}]`;
    if (one.type !== 'function') throw unsupported(`${at}.type`);
    const { name, description = '', parameters = { type: 'object', properties: {} } } = checkTool(one, at).function;
    if (names.has(name)) throw requestInvalid(`${at}.function.name`, '重复', 'is there twice');
    names.add(name);
    return { name, description, parameters };
  });
}

function readChoice(choice: unknown, tools: readonly ModelTool[]): AgentTurn['toolChoice'] {
  if (choice === undefined) return undefined;
  if (choice === 'none' || choice === 'auto') return choice;
  if (choice === 'required') {
    if (tools.length === 0) throw requestInvalid('tool_choice', '没有给出 tools', 'needs tools');
    return choice;
  }
  if (typeof choice === 'string') {
    throw requestInvalid(
      'tool_choice',
      '必须是 none、auto、required 或一个函数',
      'must be none, auto, required or a function',
    );
  }
  const { name } = checkFunctionChoice(choice, 'tool_choice').function;
  if (!tools.some((tool) => tool.name === name)) {
    throw requestInvalid('tool_choice', `tools 中没有 ${name}`, `${name} is not among the tools`);
  }
  return { name };
}

function readStop(stop: unknown): string[] | undefined {
  if (stop === undefined) return undefined;
  const all = Array.isArray(stop) ? checkTexts(stop, 'stop') : [checkText(stop, 'stop')];
  return all.length === 0 ? undefined : all;
}

function readFormat(format: unknown): ResponseFormat | undefined {
  if (format === undefined) return undefined;
  const { type, json_schema: wanted } =
    typeof format === 'object' && format !== null ? (format as { type?: unknown; json_schema?: unknown }) : {};
  if (type === 'text') return undefined;
  if (type === 'json_object') return { type: 'json' };
  if (type !== 'json_schema') {
    throw requestInvalid(
      'response_format.type',
      '必须是 text、json_object 或 json_schema',
      'must be text, json_object or json_schema',
    );
  }
  const { name, schema } = checkJsonSchema(wanted, 'response_format.json_schema');
  return { type: 'json', schema, ...(name !== undefined && { name }) };
}

/** More than a little effort is thinking, in every call of the model. */
const modeOf = (effort: string): RunMode => (/^(none|minimal|low)$/.test(effort) ? 'fast' : 'deep');
