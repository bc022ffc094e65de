import type { Filter } from '../../../core/data/database.ts';
import { containsText } from '../../../core/data/text.ts';
import { type Principal, systemPrincipal } from '../../../core/principal.ts';
import { ProjectNotFoundError } from '../errors.ts';
import type { ProjectDocument } from '../models/project.ts';
import type { Project, ProjectService } from '../public.ts';
import type { ConversationParts } from './parts.ts';
import type { Store } from './store.ts';
import { projectView } from './views.ts';

export type Projects = ReturnType<typeof createProjects>;

/** Projects of the caller. */
export function createProjects({ projects, conversations }: ConversationParts, store: Store) {
  const mine = ({ accountId }: Principal) => ({ ownerId: accountId, deleted: false });

  /** @throws {ProjectNotFoundError} */
  const find = async (principal: Principal, projectId: string): Promise<ProjectDocument> => {
    const found = await projects.in(principal).findOne({ _id: projectId, ...mine(principal) });
    if (!found) throw new ProjectNotFoundError(projectId);
    return found;
  };

  const views = async (principal: Principal, found: readonly ProjectDocument[]): Promise<Project[]> => {
    if (found.length === 0) return [];
    const counted = await conversations
      .in(principal)
      .aggregate<{ _id: string; count: number }>([
        { $match: { projectId: { $in: found.map(({ _id }) => _id) }, deleted: false } },
        { $group: { _id: '$projectId', count: { $sum: 1 } } },
      ]);
    const counts = new Map(counted.map(({ _id, count }) => [_id, count]));
    return found.map((project) => projectView(project, counts.get(project._id) ?? 0));
  };

  /** What is left to do for a project that is marked as deleted. May be repeated. */
  const finishRemoval = async (principal: Pick<Principal, 'tenantId'>, projectId: string): Promise<void> => {
    await store.removeOfProject(principal, projectId);
    await projects.in(principal).update({ _id: projectId }, { $unset: { removing: 1 } });
  };

  const service: ProjectService = {
    async list(principal, { keyword }, { offset, limit, sortBy = 'createdAt', sortOrder = 'desc' }) {
      const text = keyword !== undefined && keyword !== '' ? containsText(keyword) : undefined;
      const filter: Filter<ProjectDocument> = {
        ...mine(principal),
        ...(text && { $or: [{ name: text }, { description: text }] }),
      };
      const direction = sortOrder === 'asc' ? 1 : -1;
      const [found, total] = await Promise.all([
        projects.in(principal).find(filter, { sort: { [sortBy]: direction, _id: direction }, skip: offset, limit }),
        projects.in(principal).count(filter),
      ]);
      return { items: await views(principal, found), total };
    },

    create: async (principal, project) =>
      projectView(await projects.in(principal).insert({ ...project, ...mine(principal) }), 0),

    async get(principal, projectId) {
      const [view] = await views(principal, [await find(principal, projectId)]);
      return view as Project;
    },

    async update(principal, projectId, changes) {
      const changed = await projects.in(principal).update({ _id: projectId, ...mine(principal) }, { $set: changes });
      if (!changed) throw new ProjectNotFoundError(projectId);
      const [view] = await views(principal, [changed]);
      return view as Project;
    },

    async delete(principal, projectId) {
      const gone = await projects
        .in(principal)
        .update(
          { _id: projectId, ...mine(principal) },
          { $set: { deleted: true, deletedAt: new Date(), removing: true } },
        );
      if (!gone) throw new ProjectNotFoundError(projectId);
      await finishRemoval(principal, projectId);
    },
  };

  return {
    service,
    find,

    /** Takes up deletions that a crash cut off. */
    async recover(): Promise<void> {
      for await (const { _id, tenantId } of projects.acrossTenants('recovery at start').iterate({ removing: true })) {
        await finishRemoval(systemPrincipal(tenantId), _id);
      }
    },
  };
}
