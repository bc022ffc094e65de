import { randomUUID } from 'node:crypto';
import { isDuplicate } from '../../../core/data/errors.ts';
import type { Principal } from '../../../core/principal.ts';
import { createSerial } from '../../../core/serial.ts';
import { diffGraphs } from '../../../runtime/graph/index.ts';
import {
  listTooLarge,
  templateNotFound,
  versionNotFound,
  workflowChanged,
  workflowInvalid,
  workflowNotFound,
} from '../errors.ts';
import type { VersionDocument } from '../models/version.ts';
import type { WorkflowDocument } from '../models/workflow.ts';
import type { Graph, Workflow, WorkflowChanges, WorkflowService, WorkflowVersion } from '../public.ts';
import { findWorkflow, ownerOf, visible } from './access.ts';
import type { NodeTypes } from './node-types.ts';
import { RUN_KIND, type WorkflowParts } from './parts.ts';
import { loadTemplates } from './templates.ts';

const REGEX_SIGNS = /[\\^$.*+?()[\]{}|]/g;
const SORT_FIELDS = { name: 'name', created_at: 'createdAt', updated_at: 'updatedAt' } as const;
const ATTEMPTS = 5;

const graphText = ({ nodes, edges }: Graph) => JSON.stringify({ nodes, edges });
export const graphOf = ({ graph }: { graph: string }) => JSON.parse(graph) as Graph;

export function createWorkflowService(parts: WorkflowParts, types: NodeTypes): WorkflowService {
  const { workflows, versions } = parts;
  const templates = loadTemplates();
  const serial = createSerial();

  const validate: WorkflowService['validate'] = (graph) => types.validate(graph);

  const assertPublishable = (graph: Graph) => {
    const { valid, errors } = validate(graph);
    if (!valid) throw workflowInvalid(errors);
  };

  /** The content of the workflow at its present version. Stored right after the workflow; a crash in between is made good here. */
  const snapshot = async (workflow: WorkflowDocument, createdBy: string, comment: string | null) => {
    const { name, description, graph, version, status } = workflow;
    try {
      await versions.in(workflow).insert({
        workflowId: workflow._id,
        version,
        name,
        description,
        graph,
        status,
        comment,
        createdBy,
      });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
  };

  /**
   * Stores changes as a new version when the content differs. One after another within this process, so that many at once all count;
   * others are noticed by the number of the version.
   *
   * @param always a new version even where nothing differs: the comment is what was asked for
   */
  const change = (
    principal: Principal,
    workflowId: string,
    { name, description, nodes, edges, status }: WorkflowChanges,
    { comment = null, always = false }: { comment?: string | null | undefined; always?: boolean },
  ): Promise<Workflow> =>
    serial(workflowId, async () => {
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        const current = await findWorkflow(parts, principal, workflowId);
        const content = {
          name: name ?? current.name,
          description: description === undefined ? current.description : description,
          graph:
            nodes === undefined && edges === undefined
              ? current.graph
              : graphText({ ...graphOf(current), ...(nodes && { nodes }), ...(edges && { edges }) }),
          status: status ?? current.status,
        };
        const same = (['name', 'description', 'graph'] as const).every((field) => content[field] === current[field]);
        const isNew = always || !same;
        const wasPublished = same && current.status === 'published';
        if (content.status === 'published' && !wasPublished) assertPublishable(graphOf(content));
        // The one before may have been cut off before its snapshot was stored.
        if (isNew) await snapshot(current, current.ownerId, null);
        const changed = await workflows
          .in(current)
          .update(
            { _id: workflowId, version: current.version, deleted: { $exists: false } },
            { $set: { ...content, version: current.version + (isNew ? 1 : 0) } },
          );
        if (!changed) continue;
        if (isNew) await snapshot(changed, principal.accountId, comment);
        return workflowView(changed);
      }
      throw workflowChanged();
    });

  /** Reads documents one by one, and no more of them than one answer can hold. */
  const listed = async <D extends { graph: string }>(documents: AsyncIterable<D>): Promise<D[]> => {
    const { listBytes } = parts.options;
    const found: D[] = [];
    let bytes = 0;
    for await (const document of documents) {
      bytes += document.graph.length;
      if (bytes > listBytes) throw listTooLarge(listBytes);
      found.push(document);
    }
    return found;
  };

  const findVersion = async (workflow: WorkflowDocument, version: number): Promise<WorkflowVersion> => {
    const found = await versions.in(workflow).findOne({ workflowId: workflow._id, version });
    if (found) return versionView(found);
    if (version !== workflow.version) throw versionNotFound(workflow._id, version);
    return versionView(currentVersion(workflow));
  };

  const create: WorkflowService['create'] = async (principal, { name, description, ...graph }) => {
    const workflow = await workflows.in(principal).insert({
      _id: randomUUID(),
      name,
      description: description ?? null,
      graph: graphText(graph),
      version: 1,
      status: 'draft',
      ownerId: principal.accountId,
    });
    await snapshot(workflow, principal.accountId, null);
    return workflowView(workflow);
  };

  return {
    create,
    validate,
    nodeTypes: () => types.describe(),
    templates: () => templates,

    template(templateId) {
      const found = templates.find(({ id }) => id === templateId);
      if (!found) throw templateNotFound();
      return found;
    },

    async list(principal, { search, status, sortBy, sortOrder }, { offset, limit }) {
      const { workflows: seen, mine } = visible(parts, principal);
      const pattern = search && { $regex: search.replace(REGEX_SIGNS, '\\$&'), $options: 'i' };
      const filter = {
        ...mine,
        ...(status && { status }),
        ...(pattern && { $or: [{ name: pattern }, { description: pattern }] }),
      };
      const field = SORT_FIELDS[sortBy];
      const direction = sortOrder === 'asc' ? 1 : -1;
      const page = { sort: { [field]: direction, _id: direction }, skip: offset, limit } as const;
      const found = await listed(seen.iterate(filter, page));
      return { items: found.map(workflowView), total: offset + found.length };
    },

    get: async (principal, workflowId) => workflowView(await findWorkflow(parts, principal, workflowId)),

    update: (principal, workflowId, { comment, ...changes }) => change(principal, workflowId, changes, { comment }),

    async delete(principal, workflowId) {
      const workflow = await findWorkflow(parts, principal, workflowId);
      // From here on nobody sees it; what a crash leaves over is removed after the next start.
      const marked = await workflows
        .in(workflow)
        .update({ _id: workflowId, deleted: { $exists: false } }, { $set: { deleted: true } });
      if (!marked) throw workflowNotFound(workflowId);
      await removeWorkflow(parts, workflow);
    },

    async versions(principal, workflowId, { offset, limit }) {
      const workflow = await findWorkflow(parts, principal, workflowId);
      const page = { sort: { version: -1 }, skip: offset, limit } as const;
      const found = await listed(versions.in(workflow).iterate({ workflowId }, page));
      const missing = offset === 0 && found[0]?.version !== workflow.version ? [currentVersion(workflow)] : [];
      return [...missing, ...found].slice(0, limit).map(versionView);
    },

    version: async (principal, workflowId, version) =>
      findVersion(await findWorkflow(parts, principal, workflowId), version),

    async rollback(principal, workflowId, version, comment) {
      const old = await findVersion(await findWorkflow(parts, principal, workflowId), version);
      const { name, description, nodes, edges } = old;
      return change(principal, workflowId, { name, description, nodes, edges }, { comment, always: true });
    },

    async diff(principal, workflowId, from, to) {
      const workflow = await findWorkflow(parts, principal, workflowId);
      const [a, b] = await Promise.all([findVersion(workflow, from), findVersion(workflow, to)]);
      const fields = (['name', 'description'] as const).filter((field) => a[field] !== b[field]);
      const { same, ...graph } = diffGraphs(a, b);
      return {
        from,
        to,
        fields: Object.fromEntries(fields.map((field) => [field, { from: a[field], to: b[field] }])),
        ...graph,
        same: same && fields.length === 0,
      };
    },
  };
}

/** Removes everything of a workflow that is marked as deleted; can be repeated. */
export async function removeWorkflow(
  { runs, versions, workflows }: Pick<WorkflowParts, 'runs' | 'versions' | 'workflows'>,
  workflow: Pick<WorkflowDocument, '_id' | 'tenantId' | 'ownerId'>,
): Promise<void> {
  await runs.delete(ownerOf(workflow), { kind: RUN_KIND, subject: workflow._id });
  await versions.in(workflow).delete({ workflowId: workflow._id });
  await workflows.in(workflow).delete({ _id: workflow._id });
}

/** Finishes the deletions that an earlier process left half done. */
export async function finishDeletions(parts: WorkflowParts): Promise<void> {
  const marked = await parts.workflows
    .acrossTenants('deletions that were cut off')
    .find({ deleted: true }, { fields: ['_id', 'tenantId', 'ownerId'] });
  for (const workflow of marked) await removeWorkflow(parts, workflow);
}

const workflowView = (document: WorkflowDocument): Workflow => ({
  id: document._id,
  name: document.name,
  description: document.description,
  ...graphOf(document),
  version: document.version,
  status: document.status,
  ownerId: document.ownerId,
  createdAt: document.createdAt,
  updatedAt: document.updatedAt,
});

/** Stands in for a snapshot that is not stored (yet). */
const currentVersion = (workflow: WorkflowDocument): VersionDocument => ({
  ...workflow,
  workflowId: workflow._id,
  comment: null,
  createdBy: workflow.ownerId,
  createdAt: workflow.updatedAt,
});

const versionView = (document: VersionDocument): WorkflowVersion => ({
  id: document._id,
  workflowId: document.workflowId,
  version: document.version,
  name: document.name,
  description: document.description,
  ...graphOf(document),
  status: document.status,
  comment: document.comment,
  createdBy: document.createdBy,
  createdAt: document.createdAt,
});
