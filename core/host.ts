import type { Server } from 'node:http';
import { AppError } from './errors.ts';
import type { Mount } from './http/mount.ts';
import type { RouteSet } from './http/route.ts';
import type { SocketRoute } from './http/socket.ts';
import type { Logger } from './log.ts';
import { checkOptions, type PluginEntry as Entry } from './manifest.ts';
import type { PluginDefinition, PluginParts } from './plugin.ts';
import type { RunKind } from './run-kind.ts';
import type { ServiceKey, ServiceMap } from './service.ts';
import type { ToolDefinition } from './tool.ts';

/** A service that the composition root offers before any plugin. */
export interface ProvidedService {
  key: ServiceKey<unknown>;
  service: unknown;
}

export const provide = <T>(key: ServiceKey<T>, service: T): ProvidedService => ({ key, service });

export interface HostOptions {
  plugins: { enabled: Entry[]; disabled: PluginDefinition[] };
  provided: ProvidedService[];
  log: Logger;
  dataDir: string;
}

/** The set-up plugins of one app. */
export interface Host {
  readonly routes: RouteSet[];
  readonly sockets: SocketRoute[];
  readonly mounts: Mount[];
  readonly nodes: URL[];
  readonly runKinds: RunKind[];
  readonly tools: ToolDefinition[];
  find<T>(key: ServiceKey<T>): T | undefined;
  /** Lets plugins attach to the HTTP server. */
  attach(server: Server): void;
  /** Runs what plugins left for the moment when all of them are set up. */
  ready(): Promise<void>;
  /** By plugin, what is not ready right now. */
  notReady(): Promise<Record<string, string>>;
  /** Runs all disposers in reverse order; one that fails is logged and stops nothing. */
  dispose(): Promise<void>;
}

type Disposer = { label: string; dispose: () => void | Promise<void> };

/**
 * Sets plugins up in the order of their needs.
 *
 * @throws {AppError} PLUGIN_NEEDS_MISSING, PLUGIN_CYCLE, SERVICE_TWICE, PLUGIN_OPTIONS_INVALID; what was set up by then is disposed
 */
export async function createHost({ plugins, provided, log, dataDir }: HostOptions): Promise<Host> {
  const services = new Map<ServiceKey<unknown>, unknown>(provided.map(({ key, service }) => [key, service]));
  const parts: { name: string; parts: PluginParts }[] = [];
  const disposers: Disposer[] = [];

  const dispose = async () => {
    for (const { label, dispose: end } of disposers.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        log.error({ err: error, label }, 'disposer failed');
      }
    }
  };

  try {
    for (const { definition, options } of inOrder(plugins.enabled, plugins.disabled, new Set(services.keys()))) {
      const { name, config, requires = {}, uses = {}, provides = {} } = definition;
      const made = await definition.setup({
        config: config ? checkOptions(config, options, (path, why) => optionsInvalid(name, path, why)) : {},
        services: Object.fromEntries(
          Object.entries({ ...uses, ...requires }).map(([alias, key]) => [alias, services.get(key)]),
        ),
        log: log.child({ plugin: name }),
        dataDir,
        onDispose: (label, end) => disposers.push({ label, dispose: end }),
      });
      for (const [alias, key] of Object.entries(provides)) {
        const service = (made.services as Record<string, unknown> | undefined)?.[alias];
        if (service === undefined) throw notOffered(name, key);
        services.set(key, service);
      }
      parts.push({ name, parts: made });
    }
  } catch (error) {
    await dispose();
    throw error;
  }

  return {
    routes: parts.flatMap(({ parts: { routes = [] } }) => routes),
    sockets: parts.flatMap(({ parts: { sockets = [] } }) => sockets),
    mounts: parts.flatMap(({ parts: { mounts = [] } }) => mounts),
    nodes: parts.flatMap(({ parts: { nodes = [] } }) => nodes),
    runKinds: parts.flatMap(({ parts: { runKinds = [] } }) => runKinds),
    tools: parts.flatMap(({ parts: { tools = [] } }) => tools),
    find: <T>(key: ServiceKey<T>) => services.get(key) as T | undefined,
    attach(server) {
      for (const { parts: made } of parts) made.attach?.(server);
    },
    async ready() {
      for (const { parts: made } of parts) await made.ready?.();
    },
    async notReady() {
      const found: Record<string, string> = {};
      for (const { name, parts: made } of parts) {
        const reason = await made.health?.();
        if (reason !== undefined) found[name] = reason;
      }
      return found;
    },
    dispose,
  };
}

/** Plugins after those whose services they need. */
function inOrder(plugins: Entry[], disabled: PluginDefinition[], known: ReadonlySet<ServiceKey<unknown>>): Entry[] {
  const owners = new Map<ServiceKey<unknown>, Entry>();
  for (const entry of plugins) {
    for (const key of Object.values((entry.definition.provides ?? {}) as ServiceMap)) {
      if (owners.has(key) || known.has(key)) throw offeredTwice(key, owners.get(key), entry);
      owners.set(key, entry);
    }
  }
  const ordered: Entry[] = [];
  const visit = (entry: Entry, chain: Entry[]) => {
    if (ordered.includes(entry)) return;
    if (chain.includes(entry)) throw cycle([...chain.slice(chain.indexOf(entry)), entry]);
    for (const key of Object.values((entry.definition.requires ?? {}) as ServiceMap)) {
      if (known.has(key)) continue;
      const owner = owners.get(key);
      if (owner === undefined) throw needsMissing(entry, key, chain, disabled);
      visit(owner, [...chain, entry]);
    }
    for (const key of Object.values((entry.definition.uses ?? {}) as ServiceMap)) {
      const owner = owners.get(key);
      if (owner !== undefined) visit(owner, [...chain, entry]);
    }
    ordered.push(entry);
  };
  for (const entry of plugins) visit(entry, []);
  return ordered;
}

const names = (entries: Entry[]) => entries.map(({ definition }) => definition.name).join(' -> ');

function needsMissing(entry: Entry, key: ServiceKey<unknown>, chain: Entry[], disabled: PluginDefinition[]): AppError {
  const owner = disabled.find(({ provides }) => Object.values((provides ?? {}) as ServiceMap).includes(key))?.name;
  const who = names([...chain, entry]);
  return new AppError('invalid', 'PLUGIN_NEEDS_MISSING', {
    zh: owner
      ? `插件 ${who} 需要已停用的插件 ${owner}（服务 ${key.name}）；请在清单中启用 ${owner}，或停用 ${entry.definition.name}`
      : `插件 ${who} 需要服务 ${key.name}，但清单中没有插件提供它`,
    en: owner
      ? `Plugin ${who} needs the disabled plugin ${owner} (service "${key.name}"); enable ${owner} in the manifest, or disable ${entry.definition.name}`
      : `Plugin ${who} needs the service "${key.name}", which no plugin of the manifest offers`,
  });
}

const cycle = (entries: Entry[]) =>
  new AppError('invalid', 'PLUGIN_CYCLE', {
    zh: `插件相互依赖：${names(entries)}`,
    en: `Plugins need each other in a circle: ${names(entries)}`,
  });

const offeredTwice = (key: ServiceKey<unknown>, first: Entry | undefined, second: Entry) =>
  new AppError('invalid', 'SERVICE_TWICE', {
    zh: `服务 ${key.name} 由 ${first?.definition.name ?? 'core'} 和 ${second.definition.name} 同时提供`,
    en: `The service "${key.name}" is offered by both ${first?.definition.name ?? 'the core'} and ${second.definition.name}`,
  });

const notOffered = (name: string, key: ServiceKey<unknown>) =>
  new AppError('invalid', 'PLUGIN_INVALID', {
    zh: `插件 ${name} 声明提供服务 ${key.name}，但 setup 没有返回它`,
    en: `Plugin ${name} declares the service "${key.name}" but its setup does not return it`,
  });

const optionsInvalid = (name: string, path: string, why: string) =>
  new AppError('invalid', 'PLUGIN_OPTIONS_INVALID', {
    zh: `插件 ${name} 的选项 ${path} ${why}`,
    en: `Plugin ${name}: option ${path} ${why}`,
  });
