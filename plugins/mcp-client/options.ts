import { AppError } from '../../core/errors.ts';
import { type Static, Type } from '../../core/schema.ts';

const seconds = (value: number, most: number, description: string) =>
  Type.Number({ exclusiveMinimum: 0, maximum: most, default: value, description: `${description}, seconds` });
const texts = (description: string) => Type.Record(Type.String(), Type.String(), { default: {}, description });

/** A process of this machine that speaks over its standard streams (`command`), or a server reached over HTTP (`url`). */
const server = Type.Object({
  name: Type.String({ pattern: '^[A-Za-z0-9-]{1,20}$', description: 'its tools are called <name>__<tool>' }),
  command: Type.Optional(Type.String({ minLength: 1, description: 'program to start; it is found by PATH' })),
  args: Type.Array(Type.String(), { default: [] }),
  cwd: Type.Optional(Type.String({ minLength: 1 })),
  env: texts('variables of the process beside PATH, HOME and their like'),
  envFrom: texts('the same with values from the environment of this server: name there, name here'),
  url: Type.Optional(Type.String({ pattern: '^https?://' })),
  headers: texts('headers of every request'),
  headersFrom: texts('the same with values from the environment: header, name of the variable'),
  connectSeconds: seconds(15, 300, 'time to connect and list the tools'),
  callSeconds: seconds(60, 3600, 'time for one call'),
  tools: Type.Optional(
    Type.Array(Type.String(), { description: 'tools that are offered, by their names there; absent: all' }),
  ),
});

export const mcpConfig = Type.Object({
  servers: Type.Array(server, { default: [], description: 'MCP servers' }),
  startWaitSeconds: Type.Number({
    minimum: 0,
    maximum: 60,
    default: 2,
    description: 'how long the start waits for servers that are slow, seconds; they are connected later all the same',
  }),
  pingSeconds: seconds(30, 3600, 'between two looks whether a server lives'),
  retrySeconds: seconds(1, 3600, 'before the first new attempt to connect; doubled up to a minute'),
});

export type ServerOptions = Static<typeof server>;

/** Where a server is, with all values at hand. */
export type Target = (
  | { kind: 'stdio'; command: string; args: string[]; cwd?: string; env: Record<string, string> }
  | { kind: 'http'; url: URL; headers: Record<string, string> }
) & {
  connectMs: number;
  callMs: number;
  tools?: readonly string[];
  /** Values that must not appear in any text. */
  secrets: readonly string[];
};

/**
 * Reads what the configuration takes from the environment.
 *
 * @throws {AppError} MCP_SERVER_INVALID, MCP_VARIABLE_MISSING
 */
export function targetOf(options: ServerOptions, variable: (name: string) => string | undefined): Target {
  const { name, command, args, cwd, env, url: address, headers, connectSeconds, callSeconds, tools } = options;
  const from = (names: Record<string, string>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(names).map(([key, wanted]) => {
        const value = variable(wanted);
        if (value === undefined || value === '') throw variableMissing(name, wanted);
        return [key, value];
      }),
    );
  const limits = { connectMs: connectSeconds * 1000, callMs: callSeconds * 1000, ...(tools && { tools }) };
  if (command !== undefined && address === undefined) {
    const taken = from(options.envFrom);
    const secrets = Object.values(taken);
    return { kind: 'stdio', command, args, ...(cwd && { cwd }), env: { ...env, ...taken }, secrets, ...limits };
  }
  if (address === undefined || command !== undefined) throw serverInvalid(name);
  const taken = from(options.headersFrom);
  return {
    kind: 'http',
    url: new URL(address),
    headers: { ...headers, ...taken },
    secrets: Object.values(taken),
    ...limits,
  };
}

const serverInvalid = (server: string) =>
  new AppError('invalid', 'MCP_SERVER_INVALID', {
    zh: `MCP 服务器 ${server} 需要 command 或 url 之一`,
    en: `The MCP server ${server} needs either command or url`,
  });

export const serverTwice = (server: string) =>
  new AppError('invalid', 'MCP_SERVER_TWICE', {
    zh: `MCP 服务器 ${server} 被配置了两次`,
    en: `The MCP server ${server} is configured twice`,
  });

export const VARIABLE_MISSING = 'MCP_VARIABLE_MISSING';

const variableMissing = (server: string, variable: string) =>
  new AppError('invalid', VARIABLE_MISSING, {
    zh: `MCP 服务器 ${server} 需要环境变量 ${variable}`,
    en: `The MCP server ${server} needs the environment variable ${variable}`,
  });
