import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { oneOf, Type } from '../../core/schema.ts';
import { modelService } from '../../runtime/models/index.ts';
import { runService } from '../../runtime/runs/service.ts';
import { loadCatalogue } from './catalogue.ts';
import { reportService } from './public.ts';
import { reportRoutes } from './routes/reports.ts';
import { reportRunKind } from './run.ts';
import { createParts } from './service/parts.ts';
import { createStates } from './service/states.ts';
import { createReportService, recoverTasks } from './service.ts';

/** Catalogues are looked up here; an absolute path is taken as it is. */
const CONFIG_DIR = new URL('../../config/', import.meta.url);
const NODES = ['outline', 'material', 'chapter', 'render'];

export default definePlugin({
  name: 'reports',
  config: Type.Object({
    catalogue: Type.String({ default: 'knowledge-units.yaml', description: 'knowledge units, in the config folder' }),
    formats: Type.Array(oneOf(['PDF', 'DOCX', 'HTML', 'MARKDOWN']), {
      default: ['PDF', 'DOCX', 'HTML', 'MARKDOWN'],
      description: 'formats that may be asked for',
    }),
    runningPerTenant: Type.Integer({
      minimum: 1,
      default: 16,
      description: 'tasks of a tenant that run at the same time',
    }),
    chaptersAtOnce: Type.Integer({ minimum: 1, maximum: 64, default: 8, description: 'chapters written side by side' }),
    exportWaitSeconds: Type.Integer({ minimum: 1, default: 60, description: 'how long an export waits for rendering' }),
  }),
  requires: { database: databaseService, runs: runService, models: modelService },
  provides: { reports: reportService },

  setup({ config, services, log }) {
    const { catalogue, exportWaitSeconds, ...limits } = config;
    const parts = createParts({
      ...services,
      catalogue: loadCatalogue(new URL(catalogue, CONFIG_DIR)),
      options: { ...limits, exportWaitMs: exportWaitSeconds * 1000 },
      log,
    });
    const states = createStates(parts);
    const reports = createReportService(parts, states);
    return {
      services: { reports },
      routes: [reportRoutes(reports)],
      nodes: NODES.map((name) => new URL(`./nodes/${name}.ts`, import.meta.url)),
      runKinds: [reportRunKind(parts, states)],
      ready: () => recoverTasks(parts, states),
    };
  },
});
