import type { Numbers } from '../../core/data/numbers.ts';
import { AppError } from '../../core/errors.ts';
import type { Principal } from '../../core/principal.ts';
import type { ModelGateway } from '../../runtime/models/index.ts';
import type { Agent, AgentService } from '../agents/public.ts';
import { modelNotFound, requestInvalid } from './errors.ts';
import type { Answerer } from './public.ts';

export interface AnswererParts {
  models: Pick<ModelGateway, 'list' | 'resolve'>;
  agents: Pick<AgentService, 'get' | 'catalogue'>;
  numbers: Numbers;
}

/** A name, resolved. */
export type Found = { model: string } | { agent: Agent };

export function createAnswerers({ models, agents, numbers }: AnswererParts) {
  const active = (principal: Principal) => agents.catalogue(principal, { status: 'active' });

  /** The key of a model, also for its aliases. */
  const modelKey = (name: string): string | undefined => {
    try {
      return models.resolve(name, { unknown: 'error' }).key;
    } catch (error) {
      if (error instanceof AppError && error.code === 'MODEL_UNKNOWN') return undefined;
      throw error;
    }
  };

  const byId = async (principal: Principal, name: string): Promise<Agent | undefined> => {
    const number = /^agent-(\d{1,15})$/.exec(name)?.[1];
    const id = number === undefined ? name : await numbers.idOf('agent', Number(number));
    if (id === undefined) return undefined;
    try {
      return await agents.get(principal, id);
    } catch (error) {
      if (error instanceof AppError && error.kind === 'not_found') return undefined;
      throw error;
    }
  };

  const byName = async (principal: Principal, name: string): Promise<Agent | undefined> => {
    const named = (await active(principal)).filter((agent) => agent.name === name);
    if (named.length > 1) {
      throw requestInvalid(
        'model',
        `有 ${named.length} 个名为“${name}”的智能体，请使用 id（见 GET /v1/models）`,
        `${named.length} agents are named "${name}"; use an id of GET /v1/models`,
      );
    }
    return named[0];
  };

  /** @throws {AppError} COMPLETION_MODEL_NOT_FOUND, REQUEST_INVALID */
  const find = async (principal: Principal, name: string): Promise<Found> => {
    const model = modelKey(name);
    if (model !== undefined) return { model };
    const agent = (await byId(principal, name)) ?? (await byName(principal, name));
    if (agent === undefined || agent.status !== 'active') throw modelNotFound(name);
    return { agent };
  };

  const ofModel = ({ key, name }: { key: string; name: string }): Answerer => ({
    id: key,
    kind: 'model',
    name,
    description: null,
  });

  const ofAgents = async (list: readonly Agent[]): Promise<Answerer[]> => {
    const own = list.filter(({ source }) => source === 'account').map(({ id }) => id);
    const numberOf = await numbers.numberOf('agent', own);
    return list.map(({ id, source, name, description, createdAt }) => ({
      id: source === 'account' ? `agent-${numberOf.get(id)}` : id,
      kind: 'agent',
      name,
      description,
      ...(source === 'account' && { createdAt }),
      agentId: id,
    }));
  };

  return {
    find,

    async list(principal: Principal): Promise<Answerer[]> {
      const usable = models.list().filter(({ available }) => available);
      return [...usable.map(ofModel), ...(await ofAgents(await active(principal)))];
    },

    async get(principal: Principal, name: string): Promise<Answerer> {
      const found = await find(principal, name);
      if ('model' in found) return ofModel(models.resolve(found.model));
      const [agent] = await ofAgents([found.agent]);
      if (agent === undefined) throw modelNotFound(name);
      return agent;
    },
  };
}

export type Answerers = ReturnType<typeof createAnswerers>;
