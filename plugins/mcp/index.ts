import { auditService } from '../../core/audit.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { completionService } from '../openai/public.ts';
import { executionService, workflowService } from '../workflows/public.ts';
import { mcpMounts } from './mounts.ts';
import { Sessions } from './sessions.ts';
import { askTools } from './tools/ask.ts';
import { runTools } from './tools/run.ts';

const count = (value: number, maximum: number, description: string) =>
  Type.Integer({ minimum: 1, maximum, default: value, description });

export default definePlugin({
  name: 'mcp',
  config: Type.Object({
    sessions: count(1000, 100_000, 'clients at once'),
    sessionsPerAccount: count(32, 10_000, 'of one account; the one that was not used for longest gives way'),
    idleMinutes: Type.Number({ minimum: 0.01, maximum: 1440, default: 30, description: 'a client that is silent' }),
    maxHours: Type.Number({ minimum: 0.01, maximum: 720, default: 24, description: 'the longest life of a session' }),
    origins: Type.Array(Type.String(), {
      default: [],
      description: 'pages that may use the server from a browser, for example http://localhost:6274',
    }),
  }),
  // Without a plugin its tools are missing.
  uses: {
    completions: completionService,
    workflows: workflowService,
    executions: executionService,
    audit: auditService,
  },

  setup({ config, services, log, onDispose }) {
    const { completions, workflows, executions, audit } = services;
    const limits = {
      total: config.sessions,
      perAccount: config.sessionsPerAccount,
      idleMs: config.idleMinutes * 60_000,
      ageMs: config.maxHours * 3_600_000,
    };
    const sessions = new Sessions(limits, log);
    const timer = setInterval(() => sessions.sweep(), Math.min(limits.idleMs, 60_000));
    onDispose('mcp: sessions', async () => {
      clearInterval(timer);
      await sessions.close();
    });
    return {
      mounts: mcpMounts({
        sessions,
        origins: config.origins,
        audit,
        async tools(principal, named = '') {
          const [asking, running] = await Promise.all([
            completions && !named.startsWith('run_') ? askTools(completions, principal) : [],
            workflows && executions && !named.startsWith('ask_') ? runTools({ workflows, executions }, principal) : [],
          ]);
          return [...asking, ...running];
        },
      }),
    };
  },
});
