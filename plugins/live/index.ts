import { authenticatorService } from '../../core/auth.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { runService } from '../../runtime/runs/service.ts';
import { createLiveServer } from './server.ts';

export default definePlugin({
  name: 'live',
  config: Type.Object({
    path: Type.String({ default: '/socket.io', description: 'path of the socket.io endpoint' }),
    origins: Type.Array(Type.String(), { default: [], description: 'origins whose pages may connect; no wildcard' }),
    subscriptions: Type.Integer({
      minimum: 1,
      maximum: 10_000,
      default: 100,
      description: 'runs that one connection may follow at once',
    }),
    stalledMs: Type.Integer({
      minimum: 100,
      default: 30_000,
      description: 'a client that takes nothing for so long is disconnected',
    }),
    recheckMs: Type.Integer({
      minimum: 1000,
      default: 30_000,
      description: 'how often the token of a connection is looked at again',
    }),
  }),
  requires: { runs: runService, authenticator: authenticatorService },

  setup({ config, services, log, onDispose }) {
    const live = createLiveServer({ ...services, ...config, log });
    onDispose('live: socket.io', () => live.close());
    return { attach: (server) => live.attach(server) };
  },
});
