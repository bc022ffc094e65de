import type { Server } from 'node:http';
import type { Mount } from './http/mount.ts';
import type { RouteSet } from './http/route.ts';
import type { SocketRoute } from './http/socket.ts';
import type { Logger } from './log.ts';
import type { RunKind } from './run-kind.ts';
import type { Static, TObject } from './schema.ts';
import type { ServiceMap, Services } from './service.ts';
import type { ToolDefinition } from './tool.ts';

/** A plugin: what it needs, what it offers, and how it is set up. Importing it has no effect. */
export interface PluginDefinition<
  Config extends TObject = TObject,
  Requires extends ServiceMap = ServiceMap,
  Provides extends ServiceMap = ServiceMap,
  Uses extends ServiceMap = ServiceMap,
> {
  readonly name: string;
  /** Schema of the plugin's `options` in the manifest; defaults are filled before `setup`. */
  readonly config?: Config;
  readonly requires?: Requires;
  /** Services that it works without: in `setup` one that no enabled plugin offers is undefined. */
  readonly uses?: Uses;
  readonly provides?: Provides;
  setup(context: SetupContext<Config, Requires, Uses>): PluginParts<Provides> | Promise<PluginParts<Provides>>;
}

export interface SetupContext<Config extends TObject, Requires extends ServiceMap, Uses extends ServiceMap> {
  readonly config: Static<Config>;
  readonly services: Services<Requires> & Partial<Services<Uses>>;
  readonly log: Logger;
  /** Data folder of the installation; a plugin keeps its files in a sub-folder of its own name. */
  readonly dataDir: string;
  /** Disposers run in reverse order, one after another; one that fails is logged with its label and stops nothing. */
  onDispose(label: string, dispose: () => void | Promise<void>): void;
}

export interface PluginParts<Provides extends ServiceMap = ServiceMap> {
  services?: Services<Provides>;
  routes?: RouteSet[];
  /** Raw WebSocket endpoints. */
  sockets?: SocketRoute[];
  /** Routes outside `/api/v1`, for protocols that are defined elsewhere. */
  mounts?: Mount[];
  /** Attaches to the HTTP server before it listens (socket.io); what is attached is closed by a disposer. */
  attach?: (server: Server) => void;
  /** Files with one node type each as default export. */
  nodes?: URL[];
  runKinds?: RunKind[];
  /** Tools for models; they are in the registry before the server listens. */
  tools?: ToolDefinition[];
  /** Runs once all plugins are set up and before the server listens. */
  ready?: () => Promise<void>;
  /** What is not ready right now (shown by `/readyz`); undefined when all is well. */
  health?: () => Promise<string | undefined>;
}

/** Declares a plugin; the generics give `setup` its types. */
export const definePlugin = <
  Config extends TObject = TObject<Record<never, never>>,
  Requires extends ServiceMap = Record<never, never>,
  Provides extends ServiceMap = Record<never, never>,
  Uses extends ServiceMap = Record<never, never>,
>(
  definition: PluginDefinition<Config, Requires, Provides, Uses>,
): PluginDefinition<Config, Requires, Provides, Uses> => definition;
