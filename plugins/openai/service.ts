import { createHash, randomUUID } from 'node:crypto';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import type { ModelGateway, ModelRef } from '../../runtime/models/index.ts';
import type { Run, RunService } from '../../runtime/runs/service.ts';
import type { Agent } from '../agents/public.ts';
import type { Answerers, Found } from './answerers.ts';
import { keyReused } from './errors.ts';
import { completionOf } from './follow.ts';
import type { Keeping } from './keeping.ts';
import type { CompletionOptions, CompletionRequest, CompletionService } from './public.ts';
import { type CompletionInput, RUN_KIND } from './run.ts';

export interface CompletionParts {
  runs: RunService;
  models: Pick<ModelGateway, 'resolve'>;
  answerers: Answerers;
  keeping: Keeping;
  log: Logger;
}

/** How often an answer under one key may fail and be begun anew. */
const MAX_ATTEMPTS = 20;

export function createCompletionService(parts: CompletionParts): CompletionService {
  const { runs, answerers, keeping } = parts;

  const begin = async (principal: Principal, input: CompletionInput, id: string): Promise<Run> => {
    await keeping.note(principal, id);
    return runs.start(principal, RUN_KIND, input, { id, meta: { subject: principal.accountId } });
  };

  /** The run of a key: the one that is under way or has succeeded, else another one. */
  const underKey = async (principal: Principal, input: CompletionInput, key: string): Promise<Run> => {
    for (let attempt = 1; ; attempt += 1) {
      const id = idOf([principal.tenantId, principal.accountId, key, String(attempt)]);
      const known = await runs.get(principal, id);
      const over = known?.status === 'failed' || known?.status === 'cancelled';
      if (over && attempt < MAX_ATTEMPTS) continue;
      const run = known ?? (await begin(principal, input, id));
      if ((run.input as CompletionInput).digest !== input.digest) throw keyReused();
      return run;
    }
  };

  return {
    answerers: (principal) => answerers.list(principal),
    answerer: (principal, name) => answerers.get(principal, name),

    async start(principal, request, options) {
      const input = inputOf(parts, await answerers.find(principal, request.model), request, options);
      const { key } = options;
      const run = await (key === undefined ? begin(principal, input, randomUUID()) : underKey(principal, input, key));
      return completionOf(parts, principal, run);
    },
  };
}

/** A UUID that is always the same for the same words. */
function idOf(words: readonly string[]): string {
  const hex = createHash('sha256').update(JSON.stringify(words)).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}

function inputOf(
  { models }: Pick<CompletionParts, 'models'>,
  found: Found,
  request: CompletionRequest,
  { language, key }: CompletionOptions,
): CompletionInput {
  const { system, history, message, images, tools, toolChoice, responseFormat, stop, mode, stream } = request;
  const { temperature, maxTokens } = request;
  const given = {
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
  };
  const said = {
    system,
    history,
    message,
    ...(images.length > 0 && { images }),
    ...(tools.length > 0 && { clientTools: tools }),
    ...(toolChoice && { toolChoice }),
    ...(responseFormat && { responseFormat }),
    ...(stop && { stop }),
    ...(mode && { mode }),
    toolIntents: false,
  };
  const digest = key === undefined ? '' : digestOf(request);
  if ('model' in found) {
    // Wrong JSON may be corrected once, where nothing of it has been sent yet.
    const maxIterations = responseFormat?.type === 'json' && !stream ? 2 : 1;
    const turn = { ...said, model: found.model, ...given, tools: { names: [] }, scope: {}, maxIterations };
    return { turn, language, digest };
  }
  const { agent } = found;
  const format = responseFormat ?? (agent.outputSchema && { type: 'json' as const, schema: agent.outputSchema });
  return {
    turn: {
      ...said,
      ...modelOf(models, agent),
      ...given,
      ...(format && { responseFormat: format }),
      tools: agent.tools,
      scope: { agentId: agent.id, settings: agent.toolSettings },
      maxIterations: agent.maxIterations,
      offline: { offlineStyle: 'answer' },
    },
    template: agent.promptTemplate,
    ...(agent.source === 'account' && { documentsOf: agent.id }),
    language,
    digest,
  };
}

/** The same for requests that want the same answer, in whatever way it is sent. */
function digestOf({ stream: _stream, includeUsage: _includeUsage, ...content }: CompletionRequest): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

/** An agent of the catalogue answers with the first of its models that has credentials, else with the server's default. */
function modelOf(
  models: Pick<ModelGateway, 'resolve'>,
  { source, model, models: byKey }: Agent,
): { model?: ModelRef; temperature: number; maxTokens: number } {
  const { provider, name, temperature, maxTokens } = model;
  if (source === 'account') {
    return { model: provider === undefined ? name : { provider, model: name }, temperature, maxTokens };
  }
  const usable = Object.entries(byKey).find(([key]) => !models.resolve(key).offline);
  return usable ? { model: usable[0], ...usable[1] } : { temperature, maxTokens };
}
