import { CONTRACT_NAMES, type ContractName } from './contract.ts';

/**
 * Every method and path that the five documents name, below `/api/v1`. It decides whose form an answer has, also where
 * the plugin that would answer is not enabled.
 */
const DOCUMENTED: Readonly<Record<ContractName, readonly string[]>> = {
  reports: [
    'POST /tasks',
    'GET /tasks',
    'GET /tasks/:taskId',
    'PUT /tasks/:taskId',
    'POST /tasks/:taskId/start',
    'POST /tasks/:taskId/cancel',
    'POST /tasks/:taskId/outline',
    'POST /outline/:outlineId/confirm',
    'POST /tasks/:taskId/data-packages',
    'POST /data-packages/:packageId/confirm',
    'POST /tasks/:taskId/reports',
    'POST /reports/:reportId/export',
    'GET /tasks/:taskId/progress',
  ],
  studio: [
    'POST /users/register',
    'POST /users/login',
    'POST /users/refresh',
    'GET /users/me',
    'POST /agents',
    'GET /agents',
    'GET /agents/:agent_id',
    'PUT /agents/:agent_id',
    'DELETE /agents/:agent_id',
    'POST /conversations',
    'POST /conversations/:conversation_id/messages',
    'GET /conversations/:conversation_id/messages',
    'POST /knowledge/documents/upload',
    'POST /knowledge/search',
    'GET /health',
  ],
  tasks: [
    'POST /conversations',
    'POST /messages',
    'GET /tasks/:task_id',
    'POST /tasks/:task_id/cancel',
    'POST /files/upload',
    'GET /files',
    'GET /files/download',
    'GET /conversations',
    'GET /conversations/:conversation_id',
    'DELETE /conversations/:conversation_id',
    'GET /prompts',
    'GET /prompts/:name',
    'POST /prompts',
    'GET /personalizations',
    'GET /personalizations/:name',
    'POST /personalizations',
    'GET /models',
    'GET /health',
  ],
  research: [
    'POST /auth/register',
    'POST /auth/login',
    'POST /auth/refresh',
    'POST /auth/logout',
    'GET /users/me',
    'PATCH /users/me',
    'POST /users/me/change-password',
    'GET /projects',
    'POST /projects',
    'GET /projects/:id',
    'PUT /projects/:id',
    'DELETE /projects/:id',
    'GET /conversations',
    'POST /conversations',
    'GET /conversations/:id',
    'POST /conversations/:id/messages/stream',
    'POST /messages/:id/pin',
    'DELETE /conversations/:id',
    'GET /agents',
    'GET /agents/:id',
    'GET /knowledge-bases',
    'POST /knowledge-bases',
    'POST /knowledge-bases/:id/documents',
    'GET /knowledge-bases/:id/documents',
    'DELETE /knowledge-bases/:kbId/documents/:docId',
    'DELETE /knowledge-bases/:id',
    'GET /history',
    'GET /admin/users',
    'PATCH /admin/users/:id',
    'GET /admin/statistics',
    'POST /chat/stream',
    'GET /chat/conversations',
    'DELETE /chat/conversations/:id',
  ],
  lowcode: [
    'POST /auth/register',
    'POST /auth/login',
    'GET /auth/me',
    'GET /workflows',
    'POST /workflows',
    'GET /workflows/:workflow_id',
    'PUT /workflows/:workflow_id',
    'DELETE /workflows/:workflow_id',
    'POST /workflows/:workflow_id/execute',
    'POST /workflows/validate',
    'GET /workflows/templates',
    'POST /workflows/templates/:template_id/create',
    'GET /workflows/:workflow_id/export',
    'POST /workflows/import',
    'GET /workflows/:workflow_id/versions',
    'GET /workflows/:workflow_id/versions/:version',
    'POST /workflows/:workflow_id/versions/:version/rollback',
    'POST /executions',
    'GET /executions',
    'GET /executions/:execution_id',
    'GET /executions/:execution_id/status',
    'GET /execution-logs/executions/:execution_id',
    'GET /execution-logs/executions/:execution_id/summary',
    'GET /data-sources',
    'POST /data-sources',
    'GET /data-sources/:data_source_id',
    'PUT /data-sources/:data_source_id',
    'DELETE /data-sources/:data_source_id',
    'POST /data-sources/:data_source_id/test',
    'POST /data-sources/:data_source_id/query',
    'GET /ws/executions/:execution_id',
  ],
};

/** A path with its parameters unnamed, so that the same path in two documents is one: `/tasks/:`. */
export const pathShape = (path: string): string => path.replace(/:[^/]+/g, ':');

/** `GET /tasks/:` to the contracts that document it, in the fixed order of the contracts. */
export const documentedRoutes: ReadonlyMap<string, readonly ContractName[]> = collect();

function collect(): Map<string, ContractName[]> {
  const routes = new Map<string, ContractName[]>();
  for (const contract of CONTRACT_NAMES) {
    for (const route of DOCUMENTED[contract]) {
      const key = pathShape(route);
      routes.set(key, [...(routes.get(key) ?? []), contract]);
    }
  }
  return routes;
}

/** The contracts that have paths below a first segment; decides the form of an answer for a path nobody has. */
export function segmentOwners(segment: string): ContractName[] {
  return CONTRACT_NAMES.filter((name) => DOCUMENTED[name].some((route) => route.split('/')[1] === segment));
}
