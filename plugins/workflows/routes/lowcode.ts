import { defineRoutes } from '../../../core/http/route.ts';
import type { ExecutionService, WorkflowService } from '../public.ts';
import { executionRoutes } from './executions.ts';
import { workflowRoutes } from './workflows.ts';

/** Source: lowcode document; rules of contracts/lowcode.md. */
export const lowcodeRoutes = (workflows: WorkflowService, executions: ExecutionService) =>
  defineRoutes('lowcode', {
    tag: { zh: '工作流', en: 'Workflows' },
    codes: { WORKFLOW_INVALID: 'WORKFLOW_INVALID' },
    routes: [...workflowRoutes(workflows, executions), ...executionRoutes(executions)],
  });
