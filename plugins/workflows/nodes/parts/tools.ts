import { AppError } from '../../../../core/errors.ts';
import type { NodeContext } from '../../../../core/node.ts';
import { createCheck } from '../../../../core/node-check.ts';
import { outboundService } from '../../../../core/outbound/outbound.ts';
import { type TSchema, Type } from '../../../../core/schema.ts';
import type { ModelTool } from '../../../../runtime/models/index.ts';
import { toolsForNodes } from '../../../../runtime/tools/for-nodes.ts';
import { createHttpTool } from '../../../../runtime/tools/http-tool.ts';
import { queryData } from './data-query.ts';
import { dataSourcesForNodes, hostService, knowledgeSearch, optionalService, searchOptions } from './host.ts';

/** A tool of an agent node: what the model is told, and what is done. */
export interface AgentTool {
  readonly definition: ModelTool;
  /**
   * @param idempotencyKey of this call, the same when the node is repeated and the model asks the same
   * @throws what went wrong; the model is told
   */
  call(args: Record<string, unknown>, idempotencyKey: string): Promise<unknown>;
}

type Host = Pick<NodeContext, 'service' | 'signal'>;
type Settings = Record<string, unknown>;

interface Maker {
  /** Name for the model when the configuration has none. */
  name: string;
  make(settings: Settings, host: Host): { description: string; parameters: TSchema; call: AgentTool['call'] };
}

const MAX_TOOLS = 32;

const invalid = (zh: string, en: string) => new AppError('invalid', 'AGENT_TOOL_INVALID', { zh, en });

const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];

const http: Maker = {
  name: 'http_request',
  make(settings, { service, signal }) {
    const outbound = service(outboundService);
    const { description, parameters, call } = createHttpTool(settings);
    return {
      description,
      parameters,
      call: (args, idempotencyKey) => call(args, { outbound, idempotencyKey, signal }),
    };
  },
};

const dataSource: Maker = {
  name: 'query_data',
  make(settings, { service }) {
    const id = settings.data_source_id;
    if (typeof id !== 'string' || id === '') {
      throw invalid('data_source 工具缺少 data_source_id', 'the data_source tool needs data_source_id');
    }
    const sources = hostService(service, dataSourcesForNodes);
    return {
      description: 'Queries a data source, reading only. Returns the rows.',
      parameters: Type.Object({
        query: Type.String({ maxLength: 65_536, description: 'one reading statement or a path; values as :name' }),
        parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'values by name' })),
      }),
      call: ({ query, parameters = {} }) => queryData(sources, id, String(query), parameters as Settings),
    };
  },
};

const knowledge: Maker = {
  name: 'search_knowledge',
  make(settings, { service }) {
    const search = hostService(service, knowledgeSearch);
    const limit = Number.isInteger(settings.top_k) ? Number(settings.top_k) : 5;
    const agentId = typeof settings.agent_id === 'string' ? settings.agent_id : undefined;
    const options = searchOptions({ ids: texts(settings.knowledge_base_ids), agentId, limit });
    return {
      description: 'Searches the knowledge bases and returns passages.',
      parameters: Type.Object({ query: Type.String() }),
      call: ({ query }) => search.search(String(query), options),
    };
  },
};

const MAKERS: Readonly<Record<string, Maker>> = { http, data_source: dataSource, knowledge };

/**
 * The tools of an agent node from its configuration: `'http'`, or `{type: 'http', name?, description?, …settings}`. Types are `http`,
 * `data_source` and `knowledge`, and the name of any tool of the registry.
 *
 * @param agentId agent for which the tools work
 * @throws {AppError} AGENT_TOOL_INVALID, PLUGIN_REQUIRED
 */
export async function createTools(
  entries: readonly unknown[],
  host: Host,
  agentId?: string,
): Promise<Map<string, AgentTool>> {
  if (entries.length > MAX_TOOLS) throw invalid(`工具超过 ${MAX_TOOLS} 个`, `more than ${MAX_TOOLS} tools`);
  const tools = new Map<string, AgentTool>();
  for (const entry of entries) {
    const settings = (typeof entry === 'string' ? { type: entry } : entry) as Settings;
    const type = String(settings?.type);
    const { name: given, made } = Object.hasOwn(MAKERS, type)
      ? makeOwn(MAKERS[type] as Maker, settings, host)
      : await ofRegistry(type, settings, host, agentId);
    const name = freeName(typeof settings.name === 'string' ? settings.name : given, tools);
    const { description, parameters, call } = made(name);
    tools.set(name, {
      definition: {
        name,
        description: typeof settings.description === 'string' ? `${settings.description}\n${description}` : description,
        parameters,
      },
      call,
    });
  }
  return tools;
}

/** A tool that is carried out in this thread. */
function makeOwn({ name, make }: Maker, settings: Settings, host: Host): Made {
  const { description, parameters, call } = make(settings, host);
  return {
    name,
    made(shown) {
      const check = createCheck('INPUT', shown, parameters);
      return {
        description,
        parameters: JSON.parse(JSON.stringify(parameters)),
        call: async (args, idempotencyKey) => call(check(args) as Settings, idempotencyKey),
      };
    },
  };
}

/** A tool of the registry, which the host carries out for whoever started the run. */
async function ofRegistry(type: string, entry: Settings, { service }: Host, agentId?: string): Promise<Made> {
  const unknown = () => {
    const known = Object.keys(MAKERS).join(', ');
    return invalid(
      `没有可用的工具 ${type}；可用：${known}，以及本服务器已注册的工具`,
      `there is no tool ${type} here; there are ${known}, and the tools that are registered on this server`,
    );
  };
  const { type: _type, name: _name, description: _description, ...settings } = entry;
  const use = { name: type, settings, ...(agentId !== undefined && { agentId }) };
  const registry = optionalService(service, toolsForNodes);
  const tool = await registry?.describe(use);
  if (registry === undefined || tool === undefined) throw unknown();
  const { name, description, parameters } = tool;
  const call: AgentTool['call'] = (args, idempotencyKey) => registry.call(use, args, idempotencyKey);
  return { name, made: () => ({ description, parameters, call }) };
}

interface Made {
  /** Name for the model when the configuration has none. */
  name: string;
  /** @param shown the name that the model gets to see */
  made(shown: string): Pick<ModelTool, 'description' | 'parameters'> & Pick<AgentTool, 'call'>;
}

function freeName(wanted: string, taken: ReadonlyMap<string, unknown>): string {
  if (!/^[A-Za-z0-9_-]{1,60}$/.test(wanted)) {
    throw invalid(
      `工具名 ${wanted} 只能含字母、数字、_ 和 -`,
      `the tool name ${wanted} may hold letters, digits, _ and - only`,
    );
  }
  let name = wanted;
  for (let number = 2; taken.has(name); number += 1) name = `${wanted}_${number}`;
  return name;
}
