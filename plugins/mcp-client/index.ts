import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/errors.ts';
import { definePlugin } from '../../core/plugin.ts';
import { settingsService } from '../../core/settings.ts';
import { toolService } from '../../runtime/tools/service.ts';
import { mcpConfig, serverTwice, type Target, targetOf, VARIABLE_MISSING } from './options.ts';

export default definePlugin({
  name: 'mcp-client',
  config: mcpConfig,
  requires: { settings: settingsService, tools: toolService },

  setup({ config, services: { settings, tools }, log, onDispose }) {
    const targets = new Map<string, Target>();
    for (const server of config.servers) {
      const { name } = server;
      if (targets.has(name)) throw serverTwice(name);
      try {
        targets.set(name, targetOf(server, settings.variable));
      } catch (error) {
        // A server without its credentials must not keep the others from starting, nor this one.
        if (!(error instanceof AppError) || error.code !== VARIABLE_MISSING) throw error;
        log.warn({ server: name }, `mcp: left out: ${error.message}`);
      }
    }
    return {
      async ready() {
        if (targets.size === 0) return;
        // Some 30 MB that only those pay who have a server.
        const { McpServer } = await import('./server.ts');
        const { pingSeconds, retrySeconds, startWaitSeconds } = config;
        const limits = { pingMs: pingSeconds * 1000, retryMs: retrySeconds * 1000 };
        const servers = [...targets].map(([name, target]) => new McpServer({ name, target, tools, log, ...limits }));
        onDispose('mcp-client: servers', async () => void (await Promise.all(servers.map((server) => server.close()))));
        const all = Promise.all(servers.map((server) => server.start()));
        await Promise.race([all, delay(startWaitSeconds * 1000, undefined, { ref: false })]);
      },
    };
  },
});
