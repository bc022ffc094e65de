import type { Database } from '../../core/data/database.ts';
import type { Logger } from '../../core/log.ts';
import { type Principal, systemPrincipal } from '../../core/principal.ts';
import { agentLimit, agentNotFound, agentReadOnly } from './errors.ts';
import { type AgentDocument, agentModel } from './models/agent.ts';
import type { Agent, AgentChanges, AgentService } from './public.ts';
import { agentView } from './views.ts';

export interface AgentDeps {
  database: Database;
  log: Logger;
  /** Agents of the installation, in their order. */
  catalogue: readonly Agent[];
  /** Agents that one account may have. */
  perAccount: number;
  /** Tools that agents of accounts may use: names, or `category:<name>`. */
  accountTools: readonly string[];
}

type DeletedListener = (principal: Principal, agentId: string) => Promise<void>;

const TEMPERATURE = 0.7;
const MAX_TOKENS = 2048;
const NEWEST_FIRST = { createdAt: -1, _id: -1 } as const;

/** The agents of the catalogue and of accounts; `finishDeletions` is for the start. */
export function createAgentService(deps: AgentDeps): AgentService & { finishDeletions(): Promise<void> } {
  const { database, log, catalogue, perAccount, accountTools } = deps;
  const agents = agentModel(database);
  const builtIn = new Map(catalogue.map((agent) => [agent.id, agent]));
  const listeners = new Set<DeletedListener>();

  const mine = ({ accountId }: Principal) => ({ ownerId: accountId, deleted: false });
  const view = (document: AgentDocument) => agentView(document, accountTools);

  /** @throws {AppError} AGENT_READ_ONLY */
  const assertOwnable = (agentId: string) => {
    if (builtIn.has(agentId)) throw agentReadOnly(agentId);
  };

  /** Removes what belongs to an agent that is marked, then the agent. May be repeated. */
  const remove = async ({ _id, tenantId, ownerId }: AgentDocument): Promise<void> => {
    const owner = { ...systemPrincipal(tenantId), accountId: ownerId };
    const told = await Promise.allSettled([...listeners].map((listener) => listener(owner, _id)));
    const errors = told.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    for (const error of errors) {
      log.error(
        { err: error, agentId: _id },
        'not all that belongs to a deleted agent could be removed; the next start tries again',
      );
    }
    if (errors.length === 0) await agents.in(owner).delete({ _id });
  };

  return {
    async create(principal, { name, description, promptTemplate, model }) {
      const own = agents.in(principal);
      if ((await own.count(mine(principal))) >= perAccount) throw agentLimit(perAccount);
      const made = await own.insert({
        ...mine(principal),
        name,
        description: description ?? null,
        promptTemplate,
        model: {
          provider: model.provider,
          name: model.name,
          temperature: model.temperature ?? TEMPERATURE,
          maxTokens: model.maxTokens ?? MAX_TOKENS,
        },
      });
      return view(made);
    },

    async list(principal, { offset, limit }) {
      const own = agents.in(principal);
      const [found, total] = await Promise.all([
        own.find(mine(principal), { sort: NEWEST_FIRST, skip: offset, limit }),
        own.count(mine(principal)),
      ]);
      return { items: found.map(view), total };
    },

    async catalogue(principal, { category, status } = {}) {
      const own = await agents.in(principal).find(mine(principal), { sort: NEWEST_FIRST, limit: perAccount });
      return [...catalogue, ...own.map(view)].filter(
        (agent) =>
          (category === undefined || agent.category === category) && (status === undefined || agent.status === status),
      );
    },

    async get(principal, agentId) {
      const known = builtIn.get(agentId);
      if (known) return known;
      const found = await agents.in(principal).findOne({ _id: agentId, ...mine(principal) });
      if (!found) throw agentNotFound(agentId);
      return view(found);
    },

    async names(principal, agentIds) {
      const names = new Map(catalogue.filter(({ id }) => agentIds.includes(id)).map(({ id, name }) => [id, name]));
      const others = agentIds.filter((id) => !names.has(id));
      if (others.length === 0) return names;
      const wanted = { _id: { $in: [...new Set(others)] } };
      // Figures of administrators are about the whole installation, and so are the names in them.
      const found = principal.roles.includes('admin')
        ? await agents.acrossTenants('names in figures for administrators').find(wanted, { fields: ['name'] })
        : await agents.in(principal).find({ ...wanted, ...mine(principal) }, { fields: ['name'] });
      for (const { _id, name } of found) names.set(_id, name);
      return names;
    },

    async update(principal, agentId, changes) {
      assertOwnable(agentId);
      const fields = changedFields(changes);
      const own = agents.in(principal);
      const where = { _id: agentId, ...mine(principal) };
      const changed =
        Object.keys(fields).length === 0 ? await own.findOne(where) : await own.update(where, { $set: fields });
      if (!changed) throw agentNotFound(agentId);
      return view(changed);
    },

    async delete(principal, agentId) {
      assertOwnable(agentId);
      // From here on nobody sees it; what a crash leaves over is removed after the next start.
      const marked = await agents
        .in(principal)
        .update({ _id: agentId, ...mine(principal) }, { $set: { deleted: true } });
      if (!marked) throw agentNotFound(agentId);
      await remove(marked);
    },

    onDeleted(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    async finishDeletions() {
      const marked = agents.acrossTenants('deletions that were cut off');
      for await (const agent of marked.iterate({ deleted: true })) await remove(agent);
    },
  };
}

/** Fields of the model are set one by one, so that two changes at once both count. */
function changedFields({ model, ...rest }: AgentChanges): Record<string, unknown> {
  const ofModel = Object.entries(model ?? {}).map(([name, value]) => [`model.${name}`, value]);
  return Object.fromEntries([...Object.entries(rest), ...ofModel].filter(([, value]) => value !== undefined));
}
