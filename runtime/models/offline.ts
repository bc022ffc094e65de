import { setImmediate } from 'node:timers/promises';
import { extractMaterial, type Material } from './material.ts';
import { fillSchema } from './offline/json.ts';
import { writeAnswer, writeReport } from './offline/prose.ts';
import { readUnits, splitSentences } from './offline/units.ts';
import { isChinese, keywords } from './offline/words.ts';
import type { SourceCall, SourcePart } from './source.ts';
import { countRequestTokens, countTokens } from './tokens.ts';
import type { ModelMessage, ModelRequest, ModelTool } from './types.ts';

/** Stands at the top of every text that the offline model writes, unless the caller says it elsewhere. */
export const OFFLINE_NOTICE = {
  zh: '（未使用语言模型，以下内容由系统按资料摘录整理。）',
  en: '(No language model was used; what follows was excerpted and arranged from the material by the system.)',
} as const;

const NO_MODEL = { zh: '（未使用语言模型。）', en: '(No language model was used.)' } as const;

/** Characters of one streamed piece, and pieces between two turns of the event loop. */
const PIECE = 12;
const PIECES_PER_TURN = 16;

/**
 * The model that is no model: extractive and deterministic. It arranges the facts and sentences of the material it is given
 * (`formatMaterial`; without blocks: the earlier conversation, or the long part of the only message), computes no figure, and
 * says that no language model was used.
 */
export async function* offlineSource({ model, request, signal }: SourceCall): AsyncGenerator<SourcePart> {
  signal.throwIfAborted();
  // A turn of the event loop first: the caller's loop must be able to see an abort before work begins.
  await setImmediate();
  signal.throwIfAborted();
  const job = readJob(request);
  const forced = forcedTool(request);
  let output: string;
  if (forced) {
    output = JSON.stringify(fillSchema({ ...job, schema: forced.parameters }));
    yield { type: 'tool', index: 0, id: `call_${forced.name}`, name: forced.name, arguments: output };
  } else {
    output = answer(request, job, Math.min(request.maxTokens ?? 2048, model.maxOutputTokens));
    let count = 0;
    for (const piece of pieces(output)) {
      signal.throwIfAborted();
      yield { type: 'text', text: piece };
      count += 1;
      if (count % PIECES_PER_TURN === 0) await setImmediate();
    }
  }
  const inputTokens = countRequestTokens(request.messages, request.tools);
  const outputTokens = countTokens(output);
  yield { type: 'usage', inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, cachedTokens: 0 };
  yield { type: 'finish', reason: forced ? 'tool_calls' : 'stop' };
}

interface Job {
  task: string;
  units: ReturnType<typeof readUnits>;
  language: 'zh' | 'en';
}

const answer = (request: ModelRequest, job: Job, maxTokens: number): string => {
  const format = request.responseFormat;
  if (format?.type === 'json') return JSON.stringify(fillSchema({ ...job, schema: format.schema }));
  const { language, task } = job;
  const quiet = request.metadata?.offlineNotice === false;
  const under = (notice: string, text: string) => (quiet ? text : `${notice}\n\n${text}`);
  const style = request.metadata?.offlineStyle ?? (isQuestion(task) ? 'answer' : 'report');
  if (job.units.length === 0)
    return under(NO_MODEL[language], style === 'report' && quiet ? noData(job) : nothingToWorkFrom(job));
  const brief = { ...job, budget: Math.max(64, maxTokens - 48) };
  const text = style === 'report' ? writeReport(brief) : writeAnswer(brief);
  return text === undefined ? under(NO_MODEL[language], noMatch(job)) : under(OFFLINE_NOTICE[language], text);
};

const nothingToWorkFrom = ({ task, language }: Job): string => {
  const words = keywords(task, 6);
  if (language === 'zh') {
    const about = words.length > 0 ? `您的请求涉及：${words.join('、')}。` : '';
    return `${about}当前没有可用的语言模型，系统只能摘录和整理所给的资料，不能凭空回答问题、推理或创作。请提供相关资料（上传文件、选择知识库，或把文本写入消息），或由管理员配置语言模型后重试。`;
  }
  const about = words.length > 0 ? `Your request is about: ${words.join(', ')}. ` : '';
  return `${about}No language model is available at present. The system can only excerpt and arrange material that it is given; it cannot answer, reason or write without it. Please provide material (upload files, choose a knowledge base, or put the text into the message), or ask the administrator to configure a language model.`;
};

const noData = ({ task, language }: Job): string => {
  const words = keywords(task, 6);
  return language === 'zh'
    ? `本部分没有取得资料，不作陈述${words.length > 0 ? `（${words.join('、')}）` : ''}。`
    : `No material was delivered for this part${words.length > 0 ? ` (${words.join(', ')})` : ''}; nothing is stated.`;
};

const noMatch = ({ task, language }: Job): string => {
  const words = keywords(task, 6);
  return language === 'zh'
    ? `所给资料中没有找到与“${words.join('、') || task.slice(0, 40)}”直接有关的内容。没有语言模型时，系统只能按字词查找和摘录，不能推断。`
    : `The material contains nothing that mentions "${words.join(', ') || task.slice(0, 60)}". Without a language model the system can only look up and excerpt words; it cannot infer.`;
};

const textOf = ({ content }: ModelMessage): string =>
  typeof content === 'string'
    ? content
    : content
        .map((part) => (part.type === 'text' ? part.text : ''))
        .filter((text) => text !== '')
        .join('\n');

/** Splits a request into the task and the material. */
const readJob = (request: ModelRequest): Job => {
  const materials: Material[] = [];
  const rests = request.messages.map((message) => {
    if (message.role === 'assistant') return textOf(message);
    const { materials: found, rest } = extractMaterial(textOf(message));
    materials.push(...found);
    return rest;
  });
  const last = request.messages.findLastIndex(({ role }) => role === 'user');
  let task = rests[last] ?? '';
  const system = request.messages.flatMap(({ role }, at) => (role === 'system' ? [rests[at] ?? ''] : [])).join('\n');
  if (task === '') task = system;
  if (materials.length === 0) {
    materials.push(...earlier(request.messages, last));
    if (materials.length === 0) {
      const split = splitTask(task);
      task = split.task;
      if (split.material !== undefined) materials.push({ text: split.material });
    }
  }
  const language =
    request.metadata?.language ??
    (isChinese(task || system || materials.map(({ text }) => text).join(' ')) ? 'zh' : 'en');
  return { task, units: readUnits(materials), language };
};

/** What was said before the last message of the user, and results of tools, without the offline model's own phrases. */
const earlier = (messages: readonly ModelMessage[], last: number): Material[] =>
  messages
    .flatMap((message, at) => {
      if (message.role === 'system' || at === last) return [];
      if (message.role === 'user' && at > last) return [];
      const text = textOf(message);
      if (text.startsWith(NO_MODEL.zh) || text.startsWith(NO_MODEL.en)) return [];
      const own = text.replace(OFFLINE_NOTICE.zh, '').replace(OFFLINE_NOTICE.en, '').trim();
      // A short question of the user is no material.
      if (own === '' || (message.role === 'user' && own.length < 30)) return [];
      return [own];
    })
    .map((text) => ({ text }));

/** "Summarise the following: …" in one message: the head is the task, a long rest is the material. */
const splitTask = (text: string): { task: string; material?: string } => {
  const head = /^([^\n]{1,160}?)(?:[：:]\s*\n|[：:]\s*(?=[^\n]{40})|\n)/.exec(text);
  if (!head?.[1]) return { task: text };
  const material = text.slice(head[0].length).trim();
  return material.length >= 40 || splitSentences(material).length > 1 ? { task: head[1], material } : { task: text };
};

const WRITING =
  /撰写|编写|生成|起草|编制|写一|总结|概括|摘要|归纳|整理|分析报告|章节|翻译|\b(?:write|draft|compose|summari[sz]e|report|translate|rewrite)\b/i;
const ASKING =
  /[?？]|什么|多少|哪|谁|怎么|怎样|如何|是否|几[个家年月项次]|吗|\b(?:what|who|whom|which|when|where|why|how|is|are|does|did|can)\b/i;

const isQuestion = (task: string): boolean => !WRITING.test(task) && ASKING.test(task);

/** The one tool that the caller forces; the offline model never chooses a tool by itself. */
const forcedTool = ({ tools = [], toolChoice }: ModelRequest): ModelTool | undefined => {
  if (typeof toolChoice === 'object') return tools.find(({ name }) => name === toolChoice.name);
  return toolChoice === 'required' && tools.length === 1 ? tools[0] : undefined;
};

/** Small pieces that never cut a character in two. */
function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + PIECE);
    const code = text.charCodeAt(end - 1);
    if (code >= 0xd800 && code <= 0xdbff && end < text.length) end += 1;
    yield text.slice(at, end);
    at = end;
  }
}
