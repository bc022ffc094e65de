import type { AppError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { createSchemaCheck } from '../../core/node-check.ts';
import type { ToolContext, ToolDefinition, ToolScope } from '../../core/tool.ts';
import type { ModelTool } from '../models/index.ts';
import { toolDuplicate, toolInputInvalid, toolInvalid, toolTimeout, toolUnknown } from './errors.ts';
import type { ToolCallRequest, ToolSelection, ToolService } from './service.ts';

export type { ToolCallRequest, ToolSelection, ToolService } from './service.ts';
export { toolService } from './service.ts';

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const DEFAULT_TIMEOUT_MS = 60_000;
/** Longer timers fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

interface Entry {
  readonly tool: ToolDefinition;
  readonly model: ModelTool;
  check(value: unknown): unknown;
}

/** The registry of tools; plugins fill it. */
export function createToolService({ log }: { log: Logger }): ToolService {
  const entries = new Map<string, Entry>();
  const sorted = () => [...entries.values()].sort((a, b) => (a.tool.name < b.tool.name ? -1 : 1));

  /** What the model is told of a tool; undefined where it is of no use. */
  const offered = async (entry: Entry, scope: ToolScope): Promise<ModelTool | undefined> => {
    const { tool } = entry;
    try {
      if (tool.available && !(await tool.available(scope))) return undefined;
      return tailoredTo(scope, entry).model;
    } catch (error) {
      // One tool that cannot tell must not take the answer down with it.
      log.warn({ err: error, tool: tool.name }, 'tools: a tool is left out');
      return undefined;
    }
  };

  return {
    add(tool) {
      if (entries.has(tool.name)) throw toolDuplicate(tool.name);
      const entry = entryOf(tool);
      entries.set(tool.name, entry);
      return () => {
        if (entries.get(tool.name) === entry) entries.delete(tool.name);
      };
    },

    list: () => sorted().map(({ tool }) => tool),

    categories: () => [...new Set([...entries.values()].map(({ tool }) => tool.category))].sort(),

    async select(selection, given) {
      const scope = ordinary(given);
      const chosen = sorted().filter(({ tool }) => isSelected(tool, selection));
      const models = await Promise.all(chosen.map((entry) => offered(entry, scope)));
      return models.filter((model) => model !== undefined);
    },

    async call(request) {
      const entry = entries.get(request.name);
      if (entry === undefined) throw toolUnknown(request.name);
      const scope = ordinary(request.scope);
      const { check } = tailoredTo(scope, entry);
      // A copy: defaults are filled in place, and what was asked for is in events already.
      return callInTime(
        entry.tool,
        { ...request, scope },
        check(structuredClone(request.arguments)) as ToolCallRequest['arguments'],
      );
    },
  };
}

/** A model acts for a person, but never as an administrator: whoever talks it into something gains nothing. */
const ordinary = (scope: ToolScope): ToolScope => ({
  ...scope,
  principal: { ...scope.principal, roles: scope.principal.roles.filter((role) => role !== 'admin') },
});

/** The tool as its settings in this place make it. */
function tailoredTo({ settings }: ToolScope, entry: Entry): Pick<Entry, 'model' | 'check'> {
  const { tool } = entry;
  const own = settings !== undefined && Object.hasOwn(settings, tool.name) ? settings[tool.name] : undefined;
  return own === undefined || tool.tailored === undefined ? entry : entryOf({ ...tool, ...tool.tailored(own) });
}

function isSelected({ name, category }: ToolDefinition, { names, disabledCategories = [] }: ToolSelection): boolean {
  if (disabledCategories.includes(category)) return false;
  return names === undefined || names.includes(name) || names.includes(`category:${category}`);
}

/** @throws {AppError} TOOL_INVALID */
function entryOf(tool: ToolDefinition): Entry {
  const { name, description, parameters, timeoutMs = DEFAULT_TIMEOUT_MS } = tool;
  const refuse = (zh: string, en: string, cause?: unknown): AppError => toolInvalid(name, { zh, en }, cause);
  if (!NAME.test(name))
    throw refuse('名称只能含字母、数字、_ 和 -，至多 64 个', 'its name may hold letters, digits, _ and -, at most 64');
  if (description.trim() === '') throw refuse('缺少说明', 'it has no description');
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    throw refuse('时限不是有效的毫秒数', 'its time-out is no number of milliseconds');
  }
  if (parameters?.type !== 'object') throw refuse('参数不是对象', 'its parameters are no object');
  try {
    const wrong = (fields: Parameters<typeof toolInputInvalid>[1]) => toolInputInvalid(name, fields);
    return {
      tool,
      // Schemas carry hidden keys of their library; this is what JSON shows of them.
      model: { name, description, parameters: JSON.parse(JSON.stringify(parameters)) },
      check: tool.checksArguments ? (value) => value : createSchemaCheck(parameters, wrong),
    };
  } catch (error) {
    throw refuse('参数的 JSON Schema 无法使用', 'the JSON Schema of its parameters cannot be used', error);
  }
}

/** Resolves or rejects at the latest at the deadline or the cancel; a tool that pays no heed to its signal is left behind. */
function callInTime(
  tool: ToolDefinition,
  request: ToolCallRequest,
  args: ToolCallRequest['arguments'],
): Promise<unknown> {
  const { scope, runId, idempotencyKey, log } = request;
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = tool;
  request.signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    let over = false;
    const end = () => {
      over = true;
      clearTimeout(timer);
      request.signal.removeEventListener('abort', onAbort);
    };
    const giveUp = (reason: unknown) => {
      end();
      controller.abort(reason);
      reject(reason);
    };
    const onAbort = () => giveUp(request.signal.reason);
    const timer = setTimeout(() => giveUp(toolTimeout(tool.name, timeoutMs)), timeoutMs);
    request.signal.addEventListener('abort', onAbort, { once: true });
    const context: ToolContext = {
      arguments: args,
      principal: scope.principal,
      scope,
      runId,
      idempotencyKey,
      signal: controller.signal,
      log,
      emit: (type, data) => {
        if (!over) request.emit(type, data);
      },
      node: (call) => request.node(call),
    };
    // In a function of its own, so that a tool that throws at once is a failure as well.
    (async () => tool.call(context))().then(
      (result) => {
        end();
        resolve(result);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}
