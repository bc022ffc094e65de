import type { Contract, ContractName, JsonSchema, Language } from '../contracts/contract.ts';
import { contracts } from '../contracts/merged.ts';
import type { LocalText } from '../errors.ts';
import { Type } from '../schema.ts';
import { querySchema } from './api.ts';
import type { Route, RouteSet } from './route.ts';
import { asJson, wireSchema } from './shape.ts';

const OPENAPI_VERSION = '3.1.0';

/** The OpenAPI document of one contract, made of the route declarations that serve it. */
export function openApiDocument(
  name: ContractName,
  routeSets: readonly RouteSet[],
  version: string,
  language: Language,
): JsonSchema {
  const contract = contracts[name];
  const paths: Record<string, Record<string, JsonSchema>> = {};
  const schemas: Record<string, JsonSchema> = { Error: contract.docs.failure };
  const tags = new Set<string>();
  for (const { contract: owner, tag, routes } of routeSets) {
    if (owner !== name) continue;
    tags.add(tag[language]);
    for (const route of routes) {
      const path = `/api/v1${route.path.replace(/:([^/]+)/g, '{$1}')}`;
      const operation = operationOf(contract, route, tag, language);
      const own = paths[path] ?? {};
      paths[path] = own;
      own[route.method.toLowerCase()] = hoistDefinitions(operation, schemas);
    }
  }
  return {
    openapi: OPENAPI_VERSION,
    info: { title: `Koagent: ${contract.title[language]}`, version },
    servers: [{ url: '/' }],
    tags: [...tags].map((tag) => ({ name: tag })),
    paths,
    components: {
      schemas,
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operationOf(contract: Contract, route: Route, tag: LocalText, language: Language): JsonSchema {
  const { method, path, auth, summary, status = 200 } = route;
  const parameters = [
    ...parametersOf(pathSchema(route), 'path', contract),
    ...parametersOf(querySchema(contract, route), 'query', contract),
    ...(auth === 'tenant'
      ? [{ name: 'X-Tenant-Id', in: 'header', required: route.replyType !== 'events', schema: { type: 'string' } }]
      : []),
  ];
  const hasInput = route.body !== undefined || parameters.length > 0;
  return {
    operationId: `${method.toLowerCase()}${path.replace(/[:/_-]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    tags: [tag[language]],
    summary: summary[language],
    ...(auth !== 'none' && { security: [{ bearer: [] }] }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && { requestBody: requestBody(contract, route) }),
    responses: {
      [status]: successResponse(contract, route),
      ...(auth !== 'none' && { [contract.docs.statuses.unauthenticated]: failureResponse('not authenticated') }),
      ...(hasInput && { [contract.docs.statuses.invalid]: failureResponse('wrong fields') }),
      default: failureResponse(route.errors ? `errors, among them ${route.errors.join(', ')}` : 'any other error'),
    },
  };
}

function pathSchema(route: Route): JsonSchema {
  const names = [...route.path.matchAll(/:([^/]+)/g)].map(([, name]) => String(name));
  const own = (route.params ? asJson(route.params) : asJson(Type.Object({}))).properties as Record<string, JsonSchema>;
  return {
    type: 'object',
    required: names,
    properties: Object.fromEntries(names.map((name) => [name, own[name] ?? { type: 'string' }])),
  };
}

function parametersOf(schema: JsonSchema, place: 'path' | 'query', contract: Contract): JsonSchema[] {
  const wire = wireSchema(schema, contract);
  const required = (wire.required ?? []) as string[];
  return Object.entries((wire.properties ?? {}) as Record<string, JsonSchema>).map(
    ([name, { description, ...property }]) => ({
      name,
      in: place,
      required: place === 'path' || (required.includes(name) && property.default === undefined),
      ...(description !== undefined && { description }),
      schema: property,
    }),
  );
}

const MEDIA_TYPES = {
  json: 'application/json',
  form: 'application/x-www-form-urlencoded',
  multipart: 'multipart/form-data',
} as const;

function requestBody(contract: Contract, route: Route): JsonSchema {
  const schema = asSent(wireSchema(asJson(route.body ?? Type.Object({})), contract)) as JsonSchema;
  return { required: route.bodyOptional !== true, content: { [MEDIA_TYPES[route.bodyType ?? 'json']]: { schema } } };
}

/** The schema of what clients send: a field that has a default may be left out. */
function asSent(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(asSent);
  if (typeof schema !== 'object' || schema === null) return schema;
  const sent = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [
      key,
      key === 'default' || key === 'examples' ? value : asSent(value),
    ]),
  );
  const { required, properties } = schema as { required?: unknown; properties?: Record<string, JsonSchema> };
  if (Array.isArray(required) && properties !== undefined) {
    sent.required = required.filter((name) => properties[String(name)]?.default === undefined);
  }
  return sent;
}

function successResponse(contract: Contract, route: Route): JsonSchema {
  if (route.status === 204) return { description: 'done, no content' };
  if (route.replyType === 'events') {
    const json = route.reply && { schema: contract.docs.success(wireSchema(asJson(route.reply), contract)) };
    return {
      description: 'an event stream',
      content: { 'text/event-stream': { schema: { type: 'string' } }, ...(json && { 'application/json': json }) },
    };
  }
  if (route.replyType === 'file') {
    return {
      description: 'a file',
      content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
    };
  }
  const data = route.reply && wireSchema(asJson(route.reply), contract);
  const shaped = data && route.paged ? contract.docs.page(data) : data;
  return {
    description: 'success',
    content: { 'application/json': { schema: route.bare ? (shaped ?? {}) : contract.docs.success(shaped) } },
  };
}

const failureResponse = (description: string): JsonSchema => ({
  description,
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
});

/** Recursive schemas carry their definitions inside; the document keeps them all in one place. */
function hoistDefinitions(value: unknown, schemas: Record<string, JsonSchema>): JsonSchema {
  if (Array.isArray(value)) return value.map((item) => hoistDefinitions(item, schemas)) as unknown as JsonSchema;
  if (typeof value !== 'object' || value === null) return value as JsonSchema;
  const { $defs, ...rest } = value as JsonSchema;
  for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, JsonSchema>)) {
    if (schemas[name] !== undefined) continue;
    const { $id: _id, ...plain } = definition;
    schemas[name] = plain;
    schemas[name] = hoistDefinitions(plain, schemas);
  }
  const result: JsonSchema = {};
  for (const [key, item] of Object.entries(rest)) {
    result[key] =
      key === '$ref' && typeof item === 'string' && !item.startsWith('#/components/')
        ? `#/components/schemas/${item.replace(/^#\/\$defs\//, '')}`
        : hoistDefinitions(item, schemas);
  }
  return result;
}
