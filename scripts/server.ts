import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadModelsConfig } from '../config/models.ts';
import type { Settings } from '../config/settings.ts';
import { type App, createApp } from '../core/app.ts';
import { connectDatabase } from '../core/data/connect.ts';
import { databaseService } from '../core/data/database.ts';
import { createNumbers } from '../core/data/numbers.ts';
import { AppError } from '../core/errors.ts';
import { provide } from '../core/host.ts';
import { healthRoutes } from '../core/http/health.ts';
import { createLogger, type Logger } from '../core/log.ts';
import { checkOptions, importPlugins, readManifest } from '../core/manifest.ts';
import { createOutbound, outboundService } from '../core/outbound/outbound.ts';
import { repeatEvery } from '../core/repeat.ts';
import { type Static, Type } from '../core/schema.ts';
import { settingsService } from '../core/settings.ts';
import { createVault, vaultService } from '../core/vault.ts';
import { createModelGateway, modelService, removeTracingVariables } from '../runtime/models/index.ts';
import { createPool, type HostCaller, type Pool, poolService } from '../runtime/pool/index.ts';
import { createRuns, type Runs } from '../runtime/runs/index.ts';
import { runService } from '../runtime/runs/service.ts';
import { openStore } from '../runtime/store/index.ts';
import { createToolsForNodes, toolsForNodes } from '../runtime/tools/for-nodes.ts';
import { createToolService, toolService } from '../runtime/tools/index.ts';
import { budgetForNodes, budgetsSchema, createUsage, meteredExecutor, usageService } from '../runtime/usage/index.ts';

const SWEEP_MS = 3_600_000;
const count = (value: number, description: string) =>
  Type.Integer({ minimum: 1, maximum: 1_000_000, default: value, description });

/** Section `runtime` of the manifest. */
const runtimeSchema = Type.Object({
  shared: Type.Object(
    { threads: count(2, 'worker threads'), tasksPerThread: count(512, 'tasks at once in one thread') },
    { default: {} },
  ),
  isolated: Type.Object(
    { threads: count(2, 'tasks at once'), memoryMb: count(1024, 'memory of the process, MiB') },
    { default: {} },
  ),
  runs: Type.Object(
    {
      total: count(1024, 'runs at once'),
      perTenant: count(640, 'runs at once of one tenant'),
      queuedPerTenant: count(1000, 'waiting runs of one tenant'),
      kinds: Type.Record(Type.String(), Type.Object({ running: count(64, 'runs at once of one tenant and kind') }), {
        default: Object.fromEntries(
          Object.entries({ chat: 512, task: 512, report: 64, workflow: 64, ingest: 64 }).map(([kind, running]) => [
            kind,
            { running },
          ]),
        ),
        description: 'narrower limits of single kinds, per tenant',
      }),
    },
    { default: {} },
  ),
  keepDays: Type.Record(Type.String(), Type.Number({ minimum: 0.01, maximum: 36_500 }), {
    default: {},
    description: 'days that ended runs of a kind stay',
  }),
  budgets: budgetsSchema,
  shutdownMs: count(10_000, 'longest shutdown, milliseconds'),
});

/** A running server. */
export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly app: App;
  readonly runs: Runs;
  readonly pool: Pool;
  readonly log: Logger;
  /** Loads what answers of models need, so that the first one does not wait for it. Nothing is loaded without a provider. Never rejects. */
  warmUp(): Promise<void>;
  /** Stops accepting, lets runs reach a check-point, closes the store. Repeated calls wait for the first. */
  close(): Promise<void>;
}

/** The version of the package. */
export const version: string = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8'),
).version;

/**
 * Starts a whole server: store, runtime, plugins, HTTP. What was started is closed again when a later part fails.
 *
 * @throws {AppError} for settings, manifest, plugins, a data folder in use, a database out of reach
 */
export async function startServer(settings: Settings): Promise<RunningServer> {
  const log = createLogger(settings.logLevel);
  const closers: { label: string; close: () => Promise<void> }[] = [];
  const opened = (label: string, close: () => Promise<void>) => closers.push({ label, close });
  const closeAll = async () => {
    for (const { label, close } of closers.splice(0).reverse()) {
      await close().catch((error: unknown) => log.error({ err: error, label }, 'closing failed'));
    }
  };
  try {
    removeTracingVariables(settings.env);
    const manifest = readManifest(settings.manifestPath);
    const runtime = runtimeOptions(manifest.runtime);
    const modelsConfig = loadModelsConfig(settings.modelsPath, settings.env);

    const [uri] = await Promise.all([
      settings.mongodbUri ?? embeddedStore(settings, opened),
      // The store opens in a thread of its own; meanwhile this one loads the plugins. What is wrong with them the app tells.
      importPlugins(manifest).catch(() => undefined),
    ]);
    const database = await connectDatabase(uri, { log });
    opened('database', () => database.close());
    const models = createModelGateway(modelsConfig, { log: (level, message, data) => log[level](data, message) });
    const pool = await createPool({
      log,
      ...runtime,
      local: [
        {
          key: modelService.name,
          module: new URL('../runtime/models/worker.ts', import.meta.url).href,
          options: modelsConfig,
        },
        {
          key: outboundService.name,
          module: new URL('../core/outbound/worker.ts', import.meta.url).href,
          options: manifest.outbound,
        },
      ],
    });
    opened('pool', () => pool.close({ graceMs: 1000 }));
    const usage = createUsage({ database, budgets: runtime.budgets, models: modelsConfig, log });
    opened('usage', () => usage.close());
    pool.expose(budgetForNodes, { check: ({ principal }: HostCaller) => usage.check(principal) });
    const executor = meteredExecutor(pool, usage, log);
    const runs = createRuns({
      database,
      executor,
      kinds: [],
      log,
      options: { limits: runtime.runs, keepDays: runtime.keepDays, exclusive: settings.mongodbUri === undefined },
    });
    opened('runs', () => runs.close({ timeoutMs: runtime.shutdownMs / 2 }));

    const outbound = createOutbound(manifest.outbound);
    opened('outbound requests', () => outbound.close());
    const tools = createToolService({ log });
    pool.expose(toolsForNodes, createToolsForNodes(tools, executor, log));

    const app = await createApp({
      log,
      manifest,
      dataDir: settings.dataDir,
      version,
      routes: healthRoutes(version),
      numbers: createNumbers(database),
      provided: [
        provide(databaseService, database),
        provide(settingsService, {
          jwtSecret: settings.jwtSecret,
          variable: (name) => settings.env[name]?.trim(),
          admin: settings.admin,
        }),
        provide(vaultService, createVault(settings)),
        provide(outboundService, outbound),
        provide(modelService, models),
        provide(poolService, pool),
        provide(runService, runs),
        provide(toolService, tools),
        provide(usageService, usage),
      ],
      notReady: async () => {
        const failed = await database.ping().then(
          () => '',
          (error: Error) => error.message || 'out of reach',
        );
        return failed === '' ? ({} as Record<string, string>) : { database: failed };
      },
    });
    opened('app', () => app.close(runtime.shutdownMs / 2));
    await pool.addNodes(app.host.nodes);
    for (const kind of app.host.runKinds) runs.register(kind);
    for (const tool of app.host.tools) tools.add(tool);
    await database.ready();
    await app.host.ready();
    await runs.recover();
    opened(
      'sweep',
      repeatEvery(SWEEP_MS, (signal) => runs.sweep(signal), log, 'removing old runs'),
    );
    const url = await app.listen(settings.host, settings.port);

    let closed: Promise<void> | undefined;
    const close = () => (closed ??= closeAll());
    const warmUp = async () => {
      if (!models.list().some(({ available, offline }) => available && !offline)) return;
      const types = pool.describe().filter(({ lane, callsModel }) => lane === 'shared' && callsModel);
      await pool
        .ready([...new Set(types.map(({ type }) => type))])
        .catch((error: unknown) => log.debug({ err: error }, 'not everything could be loaded ahead'));
    };
    return { url, app, runs, pool, log, warmUp, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function runtimeOptions(section: Record<string, unknown>): Static<typeof runtimeSchema> {
  return checkOptions(
    runtimeSchema,
    section,
    (path, why) =>
      new AppError('invalid', 'MANIFEST_INVALID', {
        zh: `清单字段 runtime.${path} ${why}`,
        en: `Manifest: field runtime.${path} ${why}`,
      }),
  );
}

async function embeddedStore(
  settings: Settings,
  opened: (label: string, close: () => Promise<void>) => void,
): Promise<string> {
  const store = await openStore({ folder: join(settings.dataDir, 'store') });
  opened('store', () => store.close());
  return store.uri;
}
