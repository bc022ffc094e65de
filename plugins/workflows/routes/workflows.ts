import { defineRoute, type Route } from '../../../core/http/route.ts';
import { freeObject, oneOf, Type, text, time } from '../../../core/schema.ts';
import { type ExecutionService, WORKFLOW_STATUS, type WorkflowService } from '../public.ts';
import {
  description,
  ExecutionReply,
  edges,
  executionView,
  inputData,
  NodeTypeReply,
  nodes,
  nodeTypeView,
  TemplateReply,
  templateView,
  texts,
  ValidationReply,
  VersionReply,
  versionNumber,
  versionView,
  WorkflowReply,
  workflowId,
  workflowName,
  workflowView,
} from './schemas.ts';

const workflowVersion = Type.Object({ ...workflowId.properties, version: versionNumber });

/** Rows 4-17 of the lowcode document, and what editors need beyond it. */
export const workflowRoutes = (workflows: WorkflowService, executions: ExecutionService): Route[] => [
  defineRoute({
    method: 'GET',
    path: '/workflows',
    auth: 'user',
    summary: { zh: '获取工作流列表', en: 'Lists workflows' },
    query: Type.Object({
      search: Type.Optional(Type.String({ maxLength: 200 })),
      status: Type.Optional(oneOf(WORKFLOW_STATUS)),
    }),
    paged: { sortBy: ['created_at', 'name', 'updated_at'], sortOrder: 'desc' },
    reply: WorkflowReply,
    errors: ['LIST_TOO_LARGE'],
    handler: async ({ principal, query, paging }) => {
      const sortBy = paging.sortBy === 'name' || paging.sortBy === 'updated_at' ? paging.sortBy : 'created_at';
      const filter = { ...query, sortBy, sortOrder: paging.sortOrder ?? 'desc' } as const;
      const { items, total } = await workflows.list(principal, filter, paging);
      return { items: items.map(workflowView), total };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows',
    auth: 'user',
    status: 201,
    summary: { zh: '创建工作流', en: 'Creates a workflow' },
    body: Type.Object({ name: workflowName, description: Type.Optional(description), nodes, edges }),
    reply: WorkflowReply,
    handler: async ({ principal, body }) => workflowView(await workflows.create(principal, body)),
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows/validate',
    auth: 'user',
    summary: { zh: '验证工作流', en: 'Checks a graph' },
    body: Type.Object({
      name: Type.Optional(Type.Unknown()),
      description: Type.Optional(Type.Unknown()),
      nodes: Type.Array(Type.Unsafe<never>({ type: 'object', additionalProperties: true })),
      edges: Type.Array(Type.Unsafe<never>({ type: 'object', additionalProperties: true }), { default: [] }),
    }),
    reply: ValidationReply,
    handler: ({ body, request: { language } }) => {
      const { valid, errors, warnings } = workflows.validate(body);
      return { valid, errors: texts(errors, language), warnings: texts(warnings, language) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/templates',
    auth: 'user',
    summary: { zh: '获取工作流模板列表', en: 'Lists the built-in templates' },
    reply: Type.Array(TemplateReply),
    handler: ({ request: { language } }) => workflows.templates().map((template) => templateView(template, language)),
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows/templates/:template_id/create',
    auth: 'user',
    status: 201,
    summary: { zh: '从模板创建工作流', en: 'Creates a workflow from a template' },
    params: Type.Object({ template_id: Type.String() }),
    query: Type.Object({
      name: Type.Optional(workflowName),
      description: Type.Optional(Type.String({ maxLength: 2000 })),
    }),
    reply: WorkflowReply,
    errors: ['WORKFLOW_TEMPLATE_NOT_FOUND'],
    handler: async ({ principal, params, query, request: { language } }) => {
      const template = workflows.template(params.template_id);
      const { nodes: templateNodes, edges: templateEdges } = template;
      return workflowView(
        await workflows.create(principal, {
          name: query.name ?? template.name[language],
          description: query.description ?? template.description[language],
          nodes: templateNodes,
          edges: templateEdges,
        }),
      );
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows/import',
    auth: 'user',
    status: 201,
    summary: { zh: '导入工作流', en: 'Imports an exported workflow' },
    body: Type.Object({
      workflow: Type.Object({ name: workflowName, description: Type.Optional(description), nodes, edges }),
    }),
    reply: WorkflowReply,
    handler: async ({ principal, body }) => workflowView(await workflows.create(principal, body.workflow)),
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:workflow_id',
    auth: 'user',
    summary: { zh: '获取工作流详情', en: 'One workflow' },
    params: workflowId,
    reply: WorkflowReply,
    errors: ['WORKFLOW_NOT_FOUND'],
    handler: async ({ principal, params }) => workflowView(await workflows.get(principal, params.workflow_id)),
  }),
  defineRoute({
    method: 'PUT',
    path: '/workflows/:workflow_id',
    auth: 'user',
    summary: { zh: '更新工作流', en: 'Changes a workflow; new content is a new version' },
    params: workflowId,
    body: Type.Object({
      name: Type.Optional(workflowName),
      description: Type.Optional(description),
      nodes: Type.Optional(nodes),
      edges: Type.Optional(Type.Array(edges.items)),
      status: Type.Optional(oneOf(WORKFLOW_STATUS)),
      comment: Type.Optional(Type.String({ maxLength: 2000 })),
    }),
    reply: WorkflowReply,
    errors: ['WORKFLOW_NOT_FOUND', 'WORKFLOW_INVALID', 'WORKFLOW_CHANGED'],
    handler: async ({ principal, params, body }) =>
      workflowView(await workflows.update(principal, params.workflow_id, body)),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/workflows/:workflow_id',
    auth: 'user',
    summary: { zh: '删除工作流', en: 'Deletes a workflow with its versions and executions' },
    message: { zh: '工作流已删除', en: 'The workflow is deleted' },
    params: workflowId,
    errors: ['WORKFLOW_NOT_FOUND'],
    handler: async ({ principal, params }) => {
      await workflows.delete(principal, params.workflow_id);
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows/:workflow_id/execute',
    auth: 'user',
    status: 201,
    summary: { zh: '执行工作流', en: 'Executes a workflow' },
    params: workflowId,
    body: Type.Object({ input_data: inputData }),
    bodyOptional: true,
    reply: ExecutionReply,
    errors: ['WORKFLOW_NOT_FOUND', 'WORKFLOW_INVALID', 'WORKFLOW_STOPPED', 'TENANT_BUSY'],
    handler: async ({ principal, params, body, request: { language } }) =>
      executionView(await executions.start(principal, params.workflow_id, body.input_data), language),
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:workflow_id/export',
    auth: 'user',
    summary: { zh: '导出工作流', en: 'Exports a workflow' },
    params: workflowId,
    reply: Type.Object({
      workflow: Type.Object({
        name: Type.String(),
        description: WorkflowReply.properties.description,
        nodes: WorkflowReply.properties.nodes,
        edges: WorkflowReply.properties.edges,
        version: Type.Integer(),
        status: oneOf(WORKFLOW_STATUS),
      }),
      exported_at: time(),
    }),
    errors: ['WORKFLOW_NOT_FOUND'],
    handler: async ({ principal, params }) => ({
      workflow: await workflows.get(principal, params.workflow_id),
      exported_at: new Date(),
    }),
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:workflow_id/versions',
    auth: 'user',
    summary: { zh: '获取工作流版本列表', en: 'Lists the versions of a workflow, newest first' },
    params: workflowId,
    paged: true,
    reply: VersionReply,
    errors: ['WORKFLOW_NOT_FOUND', 'LIST_TOO_LARGE'],
    handler: async ({ principal, params, paging }) => {
      const found = await workflows.versions(principal, params.workflow_id, paging);
      return { items: found.map(versionView), total: found.length };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:workflow_id/versions/:version',
    auth: 'user',
    summary: { zh: '获取工作流版本详情', en: 'One version' },
    params: workflowVersion,
    reply: VersionReply,
    errors: ['WORKFLOW_NOT_FOUND', 'WORKFLOW_VERSION_NOT_FOUND'],
    handler: async ({ principal, params }) =>
      versionView(await workflows.version(principal, params.workflow_id, params.version)),
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows/:workflow_id/versions/:version/rollback',
    auth: 'user',
    summary: { zh: '回滚工作流版本', en: 'Makes the content of an old version the newest one' },
    params: workflowVersion,
    body: Type.Object({ comment: Type.Optional(text({ maxLength: 2000 })) }),
    bodyOptional: true,
    reply: WorkflowReply,
    errors: ['WORKFLOW_NOT_FOUND', 'WORKFLOW_VERSION_NOT_FOUND'],
    handler: async ({ principal, params, body }) =>
      workflowView(await workflows.rollback(principal, params.workflow_id, params.version, body.comment)),
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:workflow_id/versions/:a/diff/:b',
    auth: 'user',
    summary: { zh: '比较两个版本', en: 'What differs between two versions' },
    params: Type.Object({ ...workflowId.properties, a: versionNumber, b: versionNumber }),
    reply: freeObject(),
    errors: ['WORKFLOW_NOT_FOUND', 'WORKFLOW_VERSION_NOT_FOUND'],
    handler: ({ principal, params }) => workflows.diff(principal, params.workflow_id, params.a, params.b),
  }),
  defineRoute({
    method: 'GET',
    path: '/node-types',
    auth: 'user',
    summary: { zh: '获取节点类型及其配置结构', en: 'Lists node types with the schemas of their configuration' },
    reply: Type.Array(NodeTypeReply),
    handler: ({ request: { language } }) => workflows.nodeTypes().map((node) => nodeTypeView(node, language)),
  }),
];
