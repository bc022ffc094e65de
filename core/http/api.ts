import type { Context } from 'koa';
import type { AuditService } from '../audit.ts';
import type { Authenticator, TokenCheck } from '../auth.ts';
import { chooseContract, type TokenEvidence } from '../contracts/choose.ts';
import type { Contract, ContractName, JsonSchema, Language, PageOptions } from '../contracts/contract.ts';
import { documentedRoutes, pathShape, segmentOwners } from '../contracts/documented.ts';
import { contracts, mergedFailure } from '../contracts/merged.ts';
import { AppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { type TSchema, Type } from '../schema.ts';
import { addIds, beginDeed, type Deed, noteDeed } from './audit-trail.ts';
import { bodyKind, readJson } from './body.ts';
import { sendEvents } from './event-stream.ts';
import { asAppError, CLIENT_GONE, MAX_JSON_BYTES, watchClient, wrongType } from './exchange.ts';
import { readForm } from './form.ts';
import { admit, bearerOf, unauthenticated } from './gate.ts';
import type { RateLimiter } from './limits.ts';
import { sendFailure, sendReply } from './reply.ts';
import {
  EventStream,
  type Paging,
  ReplyWith,
  type RequestInfo,
  type Route,
  type RouteSet,
  type UploadedFile,
} from './route.ts';
import { asJson, fromWire, type NumberLookup, toWire } from './shape.ts';
import { type Check, compileCheck, validationFailed } from './validate.ts';

export interface ApiOptions {
  routeSets: readonly RouteSet[];
  numbers: NumberLookup;
  authenticator: Authenticator | undefined;
  limiter: RateLimiter;
  audit?: AuditService | undefined;
}

/** One route of one contract, ready to serve. */
interface Endpoint {
  contract: Contract;
  codes: RouteSet['codes'];
  route: Route;
  paramNames: string[];
  pageOptions: PageOptions;
  query: { schema: JsonSchema; check: Check };
  params: { schema: JsonSchema; check: Check };
  body: { schema: JsonSchema; check: Check } | undefined;
  /** Names of the ids in the data of an answer. */
  idFields: string[];
}

/** What is known of a request from the moment it arrives. */
export interface RequestState {
  language: Language;
  traceId: string;
  log: Logger;
}

export type ApiContext = Context & { state: RequestState };

export interface Api {
  /** Method and shapes of all paths, to be registered with the router. */
  readonly shapes: readonly { method: string; shape: string }[];
  /** Serves one request whose path has the shape; `params` are its values in order. */
  serve(ctx: ApiContext, method: string, shape: string, params: readonly string[]): Promise<void>;
  /** Answers for a path or method that no API has. */
  refuse(ctx: ApiContext): Promise<void>;
  /** Ends all open event streams. */
  endStreams(): void;
}

/**
 * The five APIs on one base path.
 *
 * @throws {Error} when two plugins bring the same method and path for one contract
 */
export function createApi({ routeSets, numbers, authenticator, limiter, audit }: ApiOptions): Api {
  const endpoints = collectEndpoints(routeSets);
  const streams = new Set<AbortController>();
  const byShape = methodsByShape(endpoints);

  const check = async (ctx: ApiContext, candidates: readonly Endpoint[]): Promise<TokenCheck> => {
    // Where nobody is asked for a caller a token says nothing, not even which API is spoken.
    if (candidates.length > 0 && candidates.every(({ route }) => route.auth === 'none')) return { kind: 'none' };
    const inQuery =
      (ctx.method === 'GET' || ctx.method === 'HEAD') && candidates.some(({ route }) => route.replyType === 'events');
    return authenticator?.check(bearerOf(ctx, inQuery)) ?? { kind: 'none' };
  };

  const fail = async (
    ctx: ApiContext,
    error: unknown,
    names: readonly ContractName[],
    codes: RouteSet['codes'] = {},
  ): Promise<void> => {
    const known = asAppError(ctx, error);
    const { language } = ctx.state;
    const [only] = names;
    const failure =
      only !== undefined && names.length === 1
        ? contracts[only].failure(known, codes, language, new Date())
        : mergedFailure(names, known, language, new Date());
    await sendFailure(ctx, failure, known);
  };

  const run = async (
    ctx: ApiContext,
    endpoint: Endpoint,
    token: TokenCheck,
    params: readonly string[],
    early: EarlyBody | undefined,
    deed: Deed,
  ) => {
    const { contract, route } = endpoint;
    const { state } = ctx;
    if (route.limit !== 'login') {
      const caller = 'identity' in token ? token.identity.principal : undefined;
      ctx.set({ ...(await limiter.general(contract.name, caller, ctx.ip)) });
    }
    const events = route.replyType === 'events';
    const principal = await admit(ctx, route.auth, token, authenticator, events);
    if (principal) deed.actor = principal;
    const path = Object.fromEntries(endpoint.paramNames.map((name, at) => [name, params[at]]));
    const convert = ({ schema }: { schema: JsonSchema }, value: unknown) => fromWire(schema, value, contract, numbers);
    const checkedParams = await convert(endpoint.params, endpoint.params.check(path));
    addIds(deed, [...params, ...Object.values(checkedParams as object)]);
    const query = endpoint.query.check({ ...ctx.query }) as Record<string, unknown>;
    const { value: rawBody, files, dispose } = endpoint.body ? await readBody(ctx, route, early) : NO_BODY;
    const end = watchClient(ctx);
    try {
      const body = endpoint.body ? await convert(endpoint.body, endpoint.body.check(rawBody)) : undefined;
      if (route.limit === 'login') {
        const account =
          (body as { email?: string; username?: string }).email ?? (body as { username?: string }).username ?? '';
        ctx.set({ ...(await limiter.login(contract.name, ctx.ip, account)) });
      }
      const paging: Paging = route.paged
        ? contract.pageRequest(query, endpoint.pageOptions)
        : { offset: 0, limit: 0, page: 1 };
      const request: RequestInfo = {
        contract: contract.name,
        language: state.language,
        traceId: state.traceId,
        ip: ctx.ip,
        get log() {
          return principal ? state.log.child({ tenant: principal.tenantId, account: principal.accountId }) : state.log;
        },
        signal: end.signal,
        header: (name) => ctx.get(name) || undefined,
        identify: (account) => {
          deed.actor ??= account;
        },
      };
      const value = await route.handler({
        principal: principal as never,
        params: checkedParams as never,
        query: (await convert(endpoint.query, query)) as never,
        body: body as never,
        paging,
        files,
        request,
      });
      if (value instanceof EventStream && ctx.method === 'HEAD') {
        await value.source[Symbol.asyncIterator]().return?.();
        ctx.body = null;
        ctx.status = 200;
        ctx.type = 'text/event-stream; charset=utf-8';
      } else if (value instanceof EventStream) {
        ctx.status = 200;
        noteDeed(audit, ctx, deed);
        streams.add(end);
        end.signal.addEventListener('abort', () => streams.delete(end), { once: true });
        const shape = (schema: TSchema, data: unknown) => toWire(asJson(schema), data, contract, numbers);
        await sendEvents(ctx, value, end, request.log, shape, async () => {
          const now = await check(ctx, [endpoint]);
          return now.kind === token.kind && 'identity' in now && !now.identity.blocked;
        });
      } else {
        const data = await sendReply(ctx, route, value, { contract, numbers, language: state.language, paging });
        for (const shown of [value instanceof ReplyWith ? value.data : value, data]) {
          if (typeof shown === 'object' && shown !== null) {
            addIds(
              deed,
              endpoint.idFields.map((name) => (shown as Record<string, unknown>)[name]),
            );
          }
        }
      }
    } finally {
      await dispose();
    }
  };

  return {
    shapes: [...byShape].flatMap(([shape, methods]) => [...methods].map((method) => ({ method, shape }))),

    async serve(ctx, method, shape, params) {
      const key = `${method} ${shape}`;
      const found = endpoints.get(key) ?? new Map<ContractName, Endpoint>();
      const candidates = [...new Set([...(documentedRoutes.get(key) ?? []), ...found.keys()])];
      let names: readonly ContractName[] = candidates;
      let endpoint: Endpoint | undefined;
      let deed: Deed | undefined;
      let early: EarlyBody | undefined;
      try {
        const token = await check(ctx, [...found.values()]);
        early = candidates.length > 1 && method === 'POST' ? await readEarly(ctx) : undefined;
        const authenticated = found.size === 0 || [...found.values()].some(({ route }) => route.auth !== 'none');
        const choice = chooseContract({
          route: key,
          candidates,
          authenticated,
          token: evidenceOf(token),
          header: (name) => ctx.get(name) || undefined,
          query: ctx.query,
          params,
          bodyKeys: early?.keys ?? [],
          contentType: contentTypeOf(ctx),
        });
        names = 'contract' in choice ? [choice.contract] : choice.merged;
        if (!('contract' in choice)) {
          if (authenticated) throw unauthenticated();
          // What is wrong with the body itself comes first: an unreadable one shows nothing.
          await early?.read();
          throw nothingShown(choice.needed);
        }
        endpoint = found.get(choice.contract);
        if (endpoint === undefined) throw notFound();
        const { path, summary, limit } = endpoint.route;
        const what = { contract: choice.contract, route: `/api/v1${path}`, action: summary, login: limit === 'login' };
        deed = beginDeed(what, token);
        await run(ctx, endpoint, token, params, early, deed);
      } catch (error) {
        await fail(ctx, error, names, endpoint?.codes);
      } finally {
        await early?.dispose();
      }
      if (deed) noteDeed(audit, ctx, deed);
    },

    async refuse(ctx) {
      const path = ctx.path.replace(/^\/api\/v1/, '').replace(/\/$/, '');
      const segments = path.split('/').slice(1);
      const known = [...byShape].filter(([shape]) => matches(shape, segments));
      const methods = new Set(known.flatMap(([, found]) => [...found]));
      if (methods.has('GET')) methods.add('HEAD');
      const token = evidenceOf(await check(ctx, []));
      if (methods.size === 0) {
        await fail(ctx, notFound(), speakerOf(token, segmentOwners(segments[0] ?? ''), true));
        return;
      }
      ctx.set('Allow', [...methods, 'OPTIONS'].join(', '));
      await fail(ctx, methodNotAllowed(ctx.method), speakerOf(token, ownersOf(known), false));
    },

    endStreams() {
      for (const end of streams) end.abort(CLIENT_GONE);
    },
  };
}

/**
 * The forms of an answer where no route matches: the token's API among the owners of the path; on a path that nobody has the
 * token's API itself.
 */
function speakerOf(token: TokenEvidence, owners: readonly ContractName[], anywhere: boolean): readonly ContractName[] {
  if (token.kind === 'api') return anywhere || owners.includes('tasks') ? ['tasks'] : owners;
  if (token.kind !== 'jwt') return owners;
  const takeJwt: ContractName[] = owners.filter((name) => name !== 'tasks');
  const named = token.audience.find((name) => takeJwt.includes(name)) ?? (anywhere ? token.audience[0] : undefined);
  if (named !== undefined) return [named];
  return takeJwt.length > 0 ? takeJwt : owners;
}

/** The contracts that have paths of these shapes, with whatever method. */
function ownersOf(shapes: readonly (readonly [string, ReadonlySet<string>])[]): ContractName[] {
  const names = shapes.flatMap(([shape, methods]) =>
    [...methods].flatMap((method) => documentedRoutes.get(`${method} ${shape}`) ?? []),
  );
  return [...new Set(names)];
}

const matches = (shape: string, segments: readonly string[]) => {
  const parts = shape.split('/').slice(1);
  return (
    parts.length === segments.length &&
    parts.every((part, at) => (part === ':' ? segments[at] !== '' : part === segments[at]))
  );
};

function collectEndpoints(routeSets: readonly RouteSet[]): Map<string, Map<ContractName, Endpoint>> {
  const endpoints = new Map<string, Map<ContractName, Endpoint>>();
  for (const { contract: name, codes, routes } of routeSets) {
    const contract = contracts[name];
    for (const route of routes) {
      const key = `${route.method} ${pathShape(route.path)}`;
      const found = endpoints.get(key) ?? new Map<ContractName, Endpoint>();
      if (found.has(name))
        throw new Error(`Route ${route.method} ${route.path} is declared twice for the ${name} contract`);
      endpoints.set(key, found.set(name, endpointOf(contract, codes, route)));
    }
  }
  return endpoints;
}

function endpointOf(contract: Contract, codes: RouteSet['codes'], route: Route): Endpoint {
  const pageOptions = typeof route.paged === 'object' ? route.paged : {};
  const paramNames = [...route.path.matchAll(/:([^/]+)/g)].map(([, name]) => String(name));
  const query = querySchema(contract, route);
  const params = asJson(
    route.params ?? Type.Object(Object.fromEntries(paramNames.map((name) => [name, Type.String()]))),
  );
  return {
    contract,
    codes,
    route,
    paramNames,
    pageOptions,
    query: { schema: query, check: compileCheck(query, contract, 'text') },
    params: { schema: params, check: compileCheck(params, contract, 'text') },
    idFields: idFieldsOf(route),
    body: route.body && {
      schema: asJson(route.body),
      check: compileCheck(asJson(route.body), contract, (route.bodyType ?? 'json') === 'json' ? 'json' : 'text'),
    },
  };
}

/** What of an answer is an id, for the audit log. */
function idFieldsOf(route: Route): string[] {
  const properties = (route.reply && asJson(route.reply).properties) as Record<string, JsonSchema> | undefined;
  return Object.entries(properties ?? {}).flatMap(([name, schema]) =>
    name === 'id' || schema['x-koagent-id'] !== undefined ? [name] : [],
  );
}

/** The query of a route with the contract's paging fields. */
export function querySchema(contract: Contract, route: Route): JsonSchema {
  const own = asJson(route.query ?? Type.Object({}));
  if (!route.paged) return own;
  const paging = asJson(Type.Object(contract.pageQuery(typeof route.paged === 'object' ? route.paged : {})));
  return { ...own, properties: { ...(own.properties as object), ...(paging.properties as object) } };
}

/** All paths that are documented or declared, with their methods. */
function methodsByShape(endpoints: ReadonlyMap<string, unknown>): Map<string, Set<string>> {
  const shapes = new Map<string, Set<string>>();
  for (const key of [...documentedRoutes.keys(), ...endpoints.keys()]) {
    const [method = '', shape = ''] = key.split(' ');
    shapes.set(shape, (shapes.get(shape) ?? new Set()).add(method));
  }
  // Fixed segments before parameters: /workflows/templates before /workflows/:
  return new Map([...shapes].sort(([a], [b]) => (a.replaceAll(':', '\uffff') < b.replaceAll(':', '\uffff') ? -1 : 1)));
}

/** A body that was read; `dispose` removes its files. */
interface ReadBody {
  value: unknown;
  files: Readonly<Record<string, UploadedFile | undefined>>;
  dispose(): Promise<void>;
}

const justValue = (value: unknown): ReadBody => ({ value, files: {}, dispose: async () => undefined });
const NO_BODY = justValue(undefined);

async function readFormBody(ctx: ApiContext, limit: number): Promise<ReadBody> {
  const { fields, files, dispose } = await readForm(ctx, limit);
  return { value: fields, files, dispose };
}

interface EarlyBody {
  kind: ReturnType<typeof bodyKind>;
  keys: string[];
  read(): Promise<ReadBody>;
  dispose(): Promise<void>;
}

/** Reads the body of a shared route before the contract is known; what is wrong with it is told once it is. */
async function readEarly(ctx: ApiContext): Promise<EarlyBody> {
  const kind = bodyKind(ctx);
  let result = NO_BODY;
  let failure: unknown;
  try {
    if (kind === 'json') result = justValue(await readJson(ctx, MAX_JSON_BYTES));
    if (kind === 'form' || kind === 'multipart') result = await readFormBody(ctx, MAX_JSON_BYTES);
  } catch (error) {
    failure = error;
  }
  const { value } = result;
  const keys = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
  return {
    kind,
    keys,
    async read() {
      if (failure !== undefined) throw failure;
      return result;
    },
    dispose: () => result.dispose(),
  };
}

async function readBody(ctx: ApiContext, route: Route, early: EarlyBody | undefined): Promise<ReadBody> {
  const kind = early?.kind ?? bodyKind(ctx);
  const wanted = route.bodyType ?? 'json';
  const limit = route.maxBodyBytes ?? MAX_JSON_BYTES;
  if (kind === 'none') return justValue(route.bodyOptional || wanted !== 'json' ? {} : missingBody());
  if (wanted === 'json') {
    if (kind !== 'json') throw wrongType('application/json');
    const value = early ? (await early.read()).value : await readJson(ctx, limit);
    return justValue(value === undefined && route.bodyOptional ? {} : value);
  }
  // A form login takes multipart as well; a file upload takes nothing else.
  if (kind !== 'multipart' && (wanted === 'multipart' || kind !== 'form')) {
    throw wrongType(wanted === 'multipart' ? 'multipart/form-data' : 'application/x-www-form-urlencoded');
  }
  return early ? early.read() : readFormBody(ctx, limit);
}

function missingBody(): never {
  throw validationFailed([{ field: 'body', message: { zh: '请求体不能为空', en: 'The body is required' } }]);
}

const evidenceOf = (token: TokenCheck): TokenEvidence => {
  if (token.kind === 'jwt') return { kind: 'jwt', audience: token.audience, valid: true };
  if (token.kind === 'invalid')
    return token.jwt ? { kind: 'jwt', audience: token.audience, valid: false } : { kind: 'opaque' };
  return { kind: token.kind };
};

const notFound = () => new AppError('not_found', 'NOT_FOUND', { zh: '资源不存在', en: 'Not found' });

const methodNotAllowed = (method: string) =>
  new AppError('method_not_allowed', 'METHOD_NOT_ALLOWED', {
    zh: `此路径不支持 ${method} 方法`,
    en: `${method} is not allowed here`,
  });

const nothingShown = (needed: readonly string[]) =>
  validationFailed(
    needed.length === 0
      ? [{ field: 'body', message: { zh: '请求体不能为空', en: 'The body is required' } }]
      : needed.map((field) => ({
          field,
          message: { zh: `需要 ${needed.join(' 或 ')}`, en: `${needed.join(' or ')} is required` },
        })),
  );

/** What the header says, also of an empty body. */
function contentTypeOf(ctx: ApiContext): 'json' | 'form' | 'none' {
  const type = ctx.get('content-type').toLowerCase();
  if (type.includes('json')) return 'json';
  return type.startsWith('application/x-www-form-urlencoded') || type.startsWith('multipart/') ? 'form' : 'none';
}
