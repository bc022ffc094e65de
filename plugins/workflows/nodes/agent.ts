import { AppError } from '../../../core/errors.ts';
import { defineNode, type NodeContext } from '../../../core/node.ts';
import { freeObject, Type } from '../../../core/schema.ts';
import { essence, textOf } from '../../../runtime/graph/index.ts';
import type { ModelMessage, ToolCall } from '../../../runtime/models/index.ts';
import { cutText, tellFailure, tellResult } from '../../../runtime/tools/telling.ts';
import { checkBudget } from '../../../runtime/usage/for-nodes.ts';
import type { AgentProfile } from '../../agents/public.ts';
import { agentProfiles, hostService } from './parts/host.ts';
import { callModel, modelFields, promptMissing } from './parts/model.ts';
import { type AgentTool, createTools } from './parts/tools.ts';

/** Characters of a tool's result that the model is shown. */
const MAX_RESULT = 20_000;
/** Characters of a tool's result in events. */
const MAX_SHOWN = 2000;
/** Calls of one answer that are carried out; the model is told that the others were not. */
const MAX_CALLS = 16;

/**
 * A model that works in turns with tools until it answers. Events: those of `callModel`, and per tool call `tool_start {id, name,
 * arguments}` and `update_action {id, name, status: completed | failed, result}`.
 */
export default defineNode({
  type: 'agent',
  version: 1,
  lane: 'shared',
  timeoutMs: 600_000,
  callsModel: true,
  label: { zh: '智能体', en: 'Agent' },
  summary: {
    zh: '语言模型按指令使用工具完成任务，输出最终回答',
    en: 'A model that follows instructions, uses tools, and gives its final answer',
  },
  config: Type.Object({
    agent_id: Type.Optional(
      Type.Union([Type.String(), Type.Integer()], {
        label: { zh: '智能体', en: 'Agent' },
        hint: {
          zh: '智能体 ID（studio 的整数编号、UUID 或目录中的名称）；留空则使用下面的指令',
          en: 'Id of an agent: the number of the studio, a UUID, or a name of the catalogue; empty: the instructions below',
        },
      }),
    ),
    instructions: Type.Optional(Type.String({ editor: 'text', label: { zh: '指令', en: 'Instructions' } })),
    prompt: Type.Optional(
      Type.String({
        editor: 'text',
        label: { zh: '任务', en: 'Task' },
        hint: { zh: '默认 {input}', en: 'Default {input}' },
      }),
    ),
    ...modelFields,
    temperature: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 2,
        label: { zh: '温度', en: 'Temperature' },
        hint: { zh: '默认取智能体的设置，否则 0.7', en: 'Default: that of the agent, else 0.7' },
      }),
    ),
    tools: Type.Array(Type.Union([Type.String(), freeObject()]), {
      default: [],
      editor: 'json',
      label: { zh: '工具', en: 'Tools' },
      hint: {
        zh: '"http"、{"type":"data_source","data_source_id":…}、{"type":"knowledge",…}，或任一已注册工具的名称',
        en: '"http", {"type":"data_source","data_source_id":…}, {"type":"knowledge",…}, or the name of any registered tool',
      },
    }),
    max_iterations: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 10,
      label: { zh: '最多轮数', en: 'Most iterations' },
      hint: {
        zh: '模型调用次数上限；最后一轮不再使用工具',
        en: 'Most calls of the model; the last one is without tools',
      },
    }),
  }),
  input: Type.Unknown(),
  output: Type.String(),

  async run(context) {
    const { config, input, service, signal, log } = context;
    const profile = config.agent_id
      ? await hostService(service, agentProfiles).profile(String(config.agent_id))
      : inlineProfile(config.instructions);
    const prompt = config.prompt ?? textOf(essence(input));
    if (prompt.trim() === '') throw promptMissing();
    const wanted = config.tools.length > 0 ? config.tools : (profile.tools ?? []);
    const tools = await createTools(wanted, context, profile.id);
    const definitions = [...tools.values()].map(({ definition }) => definition);
    const choice = { provider: config.provider ?? profile.provider, model: config.model ?? profile.model };
    const maxTokens = config.max_tokens ?? profile.maxTokens;
    const messages: ModelMessage[] = [
      { role: 'system', content: profile.instructions },
      { role: 'user', content: prompt },
    ];

    for (let iteration = 1; ; iteration += 1) {
      const last = iteration === config.max_iterations;
      if (iteration > 1) await checkBudget(context);
      const result = await callModel(context, choice, {
        messages,
        temperature: config.temperature ?? profile.temperature ?? 0.7,
        ...(maxTokens !== undefined && { maxTokens }),
        ...(definitions.length > 0 && { tools: definitions, toolChoice: last ? 'none' : 'auto' }),
      });
      const calls = result.toolCalls;
      if (calls.length === 0) return result.text;
      if (last) {
        log('warn', `The agent wanted more than ${config.max_iterations} iterations; this is what it had by then`);
        return result.text;
      }
      const { text, thinking } = result;
      messages.push({ role: 'assistant', content: text, ...(thinking && { thinking }), toolCalls: calls });
      const results = await Promise.all(
        calls.map((call, at) => useTool(context, tools, call, `${iteration}.${at + 1}`, at >= MAX_CALLS)),
      );
      signal.throwIfAborted();
      messages.push(...results);
    }
  },
});

function inlineProfile(instructions: string | undefined): AgentProfile {
  if (instructions === undefined || instructions.trim() === '') {
    throw new AppError('invalid', 'AGENT_INSTRUCTIONS_MISSING', {
      zh: '智能体节点缺少 agent_id 或 instructions',
      en: 'The agent node needs agent_id or instructions',
    });
  }
  return { name: 'inline', instructions };
}

/** Carries out one tool call; whatever goes wrong is told to the model, which can try something else. */
async function useTool(
  { emit, signal, idempotencyKey }: Pick<NodeContext, 'emit' | 'signal' | 'idempotencyKey'>,
  tools: ReadonlyMap<string, AgentTool>,
  call: ToolCall,
  place: string,
  surplus: boolean,
): Promise<ModelMessage> {
  const { id, name } = call;
  emit('tool_start', { id, name, arguments: call.arguments ?? {} });
  let status: 'completed' | 'failed' = 'completed';
  let content: string;
  const refuse = (why: string) => {
    status = 'failed';
    return `Error: ${why}`;
  };
  try {
    const tool = tools.get(name);
    if (surplus) content = refuse(`Not carried out: more than ${MAX_CALLS} tool calls at once`);
    else if (tool === undefined)
      content = refuse(`There is no tool ${name}; there are: ${[...tools.keys()].join(', ') || 'none'}`);
    else if (call.arguments === null) content = refuse(`The arguments are not a JSON object: ${call.invalid ?? ''}`);
    else content = cutText(tellResult(await tool.call(call.arguments, `${idempotencyKey}:${place}`)), MAX_RESULT);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    status = 'failed';
    content = tellFailure(error);
  }
  emit('update_action', { id, name, status, result: cutText(content, MAX_SHOWN) });
  return { role: 'tool', toolCallId: id, content };
}
