import type { Collection } from '../../../core/data/database.ts';
import type { Principal } from '../../../core/principal.ts';
import { workflowNotFound } from '../errors.ts';
import type { WorkflowDocument } from '../models/workflow.ts';
import type { WorkflowParts } from './parts.ts';

export const isAdmin = ({ roles }: Principal): boolean => roles.includes('admin');

/** The workflows that somebody may see: their own, administrators those of everybody. */
export function visible(
  { workflows }: Pick<WorkflowParts, 'workflows'>,
  principal: Principal,
): { workflows: Collection<WorkflowDocument>; mine: { ownerId?: string; deleted: { $exists: false } } } {
  const deleted = { $exists: false } as const;
  return isAdmin(principal)
    ? { workflows: workflows.acrossTenants('administrators see all workflows'), mine: { deleted } }
    : { workflows: workflows.in(principal), mine: { ownerId: principal.accountId, deleted } };
}

/** @throws {AppError} WORKFLOW_NOT_FOUND */
export async function findWorkflow(
  parts: Pick<WorkflowParts, 'workflows'>,
  principal: Principal,
  workflowId: string,
): Promise<WorkflowDocument> {
  const { workflows, mine } = visible(parts, principal);
  const found = await workflows.findOne({ _id: workflowId, ...mine });
  if (!found) throw workflowNotFound(workflowId);
  return found;
}

/**
 * Who an execution runs as: the owner of its workflow, whoever has started it. What the owner wrote must not gain the rights of
 * an administrator by being tried out.
 */
export const ownerOf = ({ ownerId, tenantId }: { ownerId: string; tenantId: string }): Principal => ({
  kind: 'user',
  accountId: ownerId,
  tenantId,
  roles: ['user'],
});
