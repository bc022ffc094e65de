import { AppError } from '../../../../core/errors.ts';
import type { NodeContext } from '../../../../core/node.ts';
import { createCheck } from '../../../../core/node-check.ts';
import { outboundService } from '../../../../core/outbound/outbound.ts';
import { type TSchema, Type } from '../../../../core/schema.ts';
import type { ModelTool } from '../../../../runtime/models/index.ts';
import { queryData } from './data-query.ts';
import { dataSourcesForNodes, hostService, knowledgeSearch, searchOptions } from './host.ts';
import { encodeBody, METHODS, readHeaders, readResponse, withQuery } from './http-call.ts';

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

/** `methods`: which may be used (default GET alone); `base_url`: nothing outside it; `headers`: sent along there. */
const http: Maker = {
  name: 'http_request',
  make(settings, { service, signal }) {
    const outbound = service(outboundService);
    const base =
      typeof settings.base_url === 'string' && settings.base_url !== '' ? withQuery(settings.base_url) : undefined;
    const allowed = METHODS.filter((method) => texts(settings.methods ?? ['GET']).includes(method));
    if (allowed.length === 0) throw invalid('http 工具没有可用的方法', 'the http tool has no usable method');
    const headers =
      base && typeof settings.headers === 'object' && settings.headers !== null
        ? readHeaders(settings.headers as Settings)
        : {};
    return {
      description: `Sends an HTTP request (${allowed.join(', ')})${base ? ` below ${base.origin}${base.pathname}` : ''} and returns status and body.`,
      parameters: Type.Object({
        url: Type.String({
          description: base ? 'path below the base address, or a whole URL' : 'an http or https URL',
        }),
        method: Type.Optional(Type.Enum(allowed)),
        query: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
        body: Type.Optional(Type.Unknown({ description: 'sent as JSON' })),
      }),
      async call({ url: address, method = allowed[0], query, body }, idempotencyKey) {
        const url = within(base, String(address), query as Settings | undefined);
        const encoded = encodeBody('json', method === 'GET' || method === 'HEAD' ? undefined : body);
        const response = await outbound.request(url, {
          method: String(method),
          headers: {
            ...(encoded.contentType && { 'content-type': encoded.contentType }),
            ...(method !== 'GET' && method !== 'HEAD' && { 'idempotency-key': idempotencyKey }),
            ...headers,
          },
          ...(encoded.body !== undefined && { body: encoded.body }),
          signal,
        });
        const { status, body: answer } = readResponse(response, 'auto');
        return { status, body: answer };
      },
    };
  },
};

function within(base: URL | undefined, address: string, query: Settings | undefined): URL {
  if (base === undefined) return withQuery(address, query);
  const folder = base.pathname.endsWith('/') ? base.pathname : `${base.pathname}/`;
  const url = URL.parse(address.replace(/^\/+/, ''), `${base.origin}${folder}`);
  if (url?.origin !== base.origin || !`${url.pathname}/`.startsWith(folder)) {
    throw invalid('地址不在允许的范围内', `the address is outside ${base.origin}${base.pathname}`);
  }
  return withQuery(url.href, query);
}

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
 * The tools of an agent node from its configuration: `'http'`, or `{type: 'http', name?, description?, …}`; types are `http`,
 * `data_source` and `knowledge`.
 *
 * @throws {AppError} AGENT_TOOL_INVALID, PLUGIN_REQUIRED
 */
export function createTools(entries: readonly unknown[], host: Host): Map<string, AgentTool> {
  if (entries.length > MAX_TOOLS) throw invalid(`工具超过 ${MAX_TOOLS} 个`, `more than ${MAX_TOOLS} tools`);
  const tools = new Map<string, AgentTool>();
  for (const entry of entries) {
    const settings = (typeof entry === 'string' ? { type: entry } : entry) as Settings;
    const maker = Object.hasOwn(MAKERS, String(settings?.type)) ? MAKERS[String(settings.type)] : undefined;
    if (maker === undefined) {
      const known = Object.keys(MAKERS).join(', ');
      throw invalid(
        `未知的工具 ${String(settings?.type)}，可用：${known}`,
        `unknown tool ${String(settings?.type)}, known are ${known}`,
      );
    }
    const name = freeName(typeof settings.name === 'string' ? settings.name : maker.name, tools);
    const { description, parameters, call } = maker.make(settings, host);
    const check = createCheck('INPUT', name, parameters);
    tools.set(name, {
      definition: {
        name,
        description: typeof settings.description === 'string' ? `${settings.description}\n${description}` : description,
        parameters: JSON.parse(JSON.stringify(parameters)),
      },
      call: async (args, idempotencyKey) => call(check(args) as Settings, idempotencyKey),
    });
  }
  return tools;
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
