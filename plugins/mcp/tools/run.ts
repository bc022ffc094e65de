import type { Principal } from '../../../core/principal.ts';
import type { Execution, ExecutionService, Workflow, WorkflowService } from '../../workflows/public.ts';
import { inputSchemaOf } from './input-schema.ts';
import { type CallContext, errorResult, type ServedTool, textResult } from './tool.ts';

export interface WorkflowParts {
  workflows: WorkflowService;
  executions: ExecutionService;
}

const PAGE = 100;
const MAX_WORKFLOWS = 300;
/** Results up to so many characters are sent as data, too. */
const MAX_STRUCTURED = 100_000;

/** `run_<workflow>`: the published workflows of the caller. */
export async function runTools(parts: WorkflowParts, principal: Principal): Promise<ServedTool[]> {
  const found = await published(parts.workflows, principal);
  return found.map((workflow) => ({
    definition: {
      name: nameOf(workflow),
      title: workflow.name,
      description: [`Runs the workflow "${workflow.name}".`, workflow.description ?? ''].join(' ').trim(),
      inputSchema: inputSchemaOf(workflow),
      annotations: { readOnlyHint: false, openWorldHint: true },
    },
    objectId: workflow.id,
    call: (context) => run(parts.executions, workflow.id, context),
  }));
}

/** Administrators see the workflows of everybody; as tools they have their own. */
async function published(workflows: WorkflowService, principal: Principal): Promise<Workflow[]> {
  const own: Workflow[] = [];
  for (let offset = 0; own.length < MAX_WORKFLOWS; offset += PAGE) {
    const filter = { status: 'published' as const, sortBy: 'created_at' as const, sortOrder: 'asc' as const };
    const { items } = await workflows.list(principal, filter, { offset, limit: PAGE });
    own.push(...items.filter(({ ownerId }) => ownerId === principal.accountId));
    if (items.length < PAGE) break;
  }
  return own.slice(0, MAX_WORKFLOWS);
}

/** Readable where the name is in Latin letters, and always the same for one workflow. */
function nameOf({ id, name }: Pick<Workflow, 'id' | 'name'>): string {
  const words =
    name
      .normalize('NFKD')
      .toLowerCase()
      .match(/[a-z0-9]+/g) ?? [];
  const slug = words.join('_').slice(0, 40) || 'workflow';
  return `run_${slug}_${id.slice(0, 8)}`;
}

async function run(executions: ExecutionService, workflowId: string, context: CallContext) {
  const { caller, cancelled, gone, report, touch } = context;
  const { principal } = caller;
  const { id } = await executions.start(principal, workflowId, context.arguments);
  touch(id);
  const cancel = () =>
    void executions
      .cancel(principal, id)
      .catch((error: unknown) => caller.log.warn({ err: error, id }, 'mcp: an execution could not be cancelled'));
  if (cancelled.aborted) cancel();
  else cancelled.addEventListener('abort', cancel, { once: true });
  try {
    const { events } = await executions.follow(principal, id, 0, gone);
    for await (const { type, data } of events) {
      if (type === 'status') {
        const node = typeof data.current_node === 'string' ? data.current_node : '';
        report({ fraction: Number(data.progress) / 100, message: node === '' ? String(data.status) : `node ${node}` });
      }
      // People may take days; the caller is told where to look.
      if (type === 'node_waiting' && data.for === 'approval') return waiting(id, data);
    }
    gone.throwIfAborted();
    return resultOf(await executions.get(principal, id), context);
  } finally {
    cancelled.removeEventListener('abort', cancel);
  }
}

const waiting = (id: string, { node_id: node, prompt }: Record<string, unknown>) =>
  textResult(
    `The execution ${id} waits for an approval at the node ${String(node)}${typeof prompt === 'string' ? `: ${prompt}` : ''}. ` +
      `It goes on when somebody decides: POST /api/v1/executions/${id}/nodes/${String(node)}/approve.`,
    { 'koagent/execution-id': id, status: 'waiting' },
  );

function resultOf({ id, status, outputData, error }: Execution, { caller }: CallContext) {
  if (status !== 'completed') return errorResult(error?.[caller.language] ?? `The execution ended as ${status}`);
  const values = Object.values(outputData ?? {});
  const [only] = values;
  const text = values.length === 1 && typeof only === 'string' ? only : JSON.stringify(outputData ?? {});
  const result = textResult(text, { 'koagent/execution-id': id });
  return outputData === null || text.length > MAX_STRUCTURED ? result : { ...result, structuredContent: outputData };
}
