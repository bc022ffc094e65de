import type { Outbound } from '../../../core/outbound/outbound.ts';
import { defineTool } from '../../../core/tool.ts';
import { createHttpTool } from '../../../runtime/tools/http-tool.ts';

const NAME = 'http_request';

/**
 * HTTP requests through the guard of outgoing requests. Settings: `methods` (default GET alone), `base_url` (nothing outside it),
 * `headers` (sent along there).
 */
export function httpTool(outbound: Pick<Outbound, 'request'>) {
  const { description, parameters } = createHttpTool({});
  return defineTool({
    name: NAME,
    category: 'network',
    description,
    parameters,
    effect: 'changes',
    tailored: (settings) => createHttpTool(settings),
    call: ({ arguments: args, scope, idempotencyKey, signal }) =>
      createHttpTool(scope.settings?.[NAME] ?? {}).call(args, { outbound, idempotencyKey, signal }),
  });
}
