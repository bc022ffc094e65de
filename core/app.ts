import type { AddressInfo } from 'node:net';
import { auditService } from './audit.ts';
import { authenticatorService } from './auth.ts';
import { createHost, type Host, type ProvidedService } from './host.ts';
import { createRateLimiter } from './http/limits.ts';
import type { RouteSet } from './http/route.ts';
import { createHttpServer, type HttpServer } from './http/server.ts';
import type { NumberLookup } from './http/shape.ts';
import type { Logger } from './log.ts';
import { importPlugins, type Manifest } from './manifest.ts';

export interface AppOptions {
  log: Logger;
  manifest: Manifest;
  dataDir: string;
  version: string;
  /** Services that plugins may require and no plugin offers: the database, runs, models. */
  provided: ProvidedService[];
  /** Routes that belong to no plugin. */
  routes: RouteSet[];
  numbers: NumberLookup;
  /** What is not ready right now beside the plugins, by part. */
  notReady(): Promise<Record<string, string>>;
}

/** Plugins and HTTP server of one app; two of them fit in one process. */
export interface App {
  readonly host: Host;
  readonly http: HttpServer;
  /** Listens and returns the address. */
  listen(host: string, port: number): Promise<string>;
  /** Stops taking requests, then disposes the plugins. */
  close(timeoutMs: number): Promise<void>;
}

/**
 * Sets up the plugins of the manifest and the HTTP server over them.
 *
 * @throws {AppError} everything that `importPlugins` and `createHost` refuse
 */
export async function createApp(options: AppOptions): Promise<App> {
  const { log, manifest, provided, dataDir } = options;
  const host = await createHost({ plugins: await importPlugins(manifest), provided, log, dataDir });
  let http: HttpServer;
  try {
    http = createHttpServer({
      ...options,
      http: manifest.http,
      routeSets: [...options.routes, ...host.routes],
      sockets: host.sockets,
      mounts: host.mounts,
      authenticator: host.find(authenticatorService),
      audit: host.find(auditService),
      limiter: createRateLimiter(manifest.http.limits),
      notReady: async () => ({ ...(await options.notReady()), ...(await host.notReady()) }),
    });
    host.attach(http.server);
  } catch (error) {
    await host.dispose();
    throw error;
  }
  return {
    host,
    http,
    listen: (address, port) => http.listen(address, port),
    async close(timeoutMs) {
      if ((http.server.address() as AddressInfo | null) !== null) await http.close(timeoutMs);
      await host.dispose();
    },
  };
}
