/** `npm run eval`: measures what the installation finds, so that a change of settings can be judged. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadModelsConfig } from '../config/models.ts';
import { loadSettings } from '../config/settings.ts';
import { AppError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { DEPTH, type Measurement, measure } from '../plugins/knowledge/evaluation/measure.ts';
import { isRelevant, type Question, readQuestions } from '../plugins/knowledge/evaluation/questions.ts';
import { indexFile } from '../plugins/knowledge/search/database.ts';
import { IndexReader } from '../plugins/knowledge/search/reader.ts';
import { IndexWriter } from '../plugins/knowledge/search/writer.ts';
import { createModelGateway, type TextEmbedder } from '../runtime/models/index.ts';
import { printTable } from './bench/table.ts';
import { type Engine, koagentEngine, miniSearchEngine, oramaEngine } from './eval/engines.ts';
import { openDatabase } from './open-database.ts';
import { openKnowledge } from './open-knowledge.ts';

const HELP = `usage: npm run eval -- retrieval --file <questions> [options]

Asks every question of a file and prints recall@1/5/10, the mean reciprocal rank and the time of a search.

  --file <path>   SQuAD-like JSON, or {question, context?, answers?, document?, page?} in an array or one a line (JSONL),
                  for example {"question": "保修期多长？", "answers": ["三年"], "document": "合同.pdf"};
                  may be given several times
  --base <id>     the knowledge base to ask (kb-...); without it the paragraphs of the file are indexed for the
                  measurement and thrown away
  --limit <n>     the first n questions only
  --compare       without --base: the same questions to MiniSearch and Orama

A passage is right when all that the question gives fits: it is part of the context or holds it, or, without a context,
holds one of the answers; document (file name or id) and page. Works beside a running server and without one.
Environment: as for npm start.`;

class UsageError extends Error {}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', default: false },
        file: { type: 'string', multiple: true, default: [] },
        base: { type: 'string' },
        limit: { type: 'string' },
        compare: { type: 'boolean', default: false },
      },
    });
    if (values.help) return { ...values, limit: undefined };
    if (positionals.join() !== 'retrieval') throw new UsageError('the one evaluation is: retrieval');
    if (values.file.length === 0) throw new UsageError('--file is missing');
    const limit = values.limit === undefined ? undefined : Number(values.limit);
    if (limit !== undefined && !(Number.isInteger(limit) && limit > 0)) throw new UsageError('--limit needs a number');
    return { ...values, limit };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError((error as Error).message);
  }
}

type Rows = { name: string; result: Measurement }[];

function print(rows: Rows): void {
  const percent = (share: number) => (share * 100).toFixed(1);
  printTable([
    ['', 'questions', 'r@1 %', 'r@5 %', 'r@10 %', 'MRR', 'p50 ms', 'p99 ms'],
    ...rows.map(({ name, result: { questions, recall, mrr, p50, p99 } }) => [
      name,
      questions,
      percent(recall.at1),
      percent(recall.at5),
      percent(recall.at10),
      mrr.toFixed(3),
      p50.toFixed(2),
      p99.toFixed(2),
    ]),
  ]);
}

/** Paragraphs of the file as passages of a throw-away index, and other engines over the same. */
async function evaluateTexts(
  questions: readonly Question[],
  texts: readonly string[],
  compare: boolean,
): Promise<Rows> {
  if (texts.length === 0) throw new UsageError('the file has no contexts: name a knowledge base with --base');
  const folder = mkdtempSync(join(tmpdir(), 'koagent-eval-'));
  const [writer, reader] = [new IndexWriter(), new IndexReader()];
  try {
    const engines: Engine[] = [koagentEngine(indexFile(folder, 'eval'), writer, reader, texts)];
    if (compare) engines.push(await miniSearchEngine(texts), await oramaEngine(texts));
    const rows: Rows = [];
    for (const engine of engines) {
      const result = await measure(questions, async ({ question, context }) =>
        (await engine.search(question, DEPTH)).map((number) => texts[number] === context),
      );
      rows.push({ name: engine.name, result });
    }
    return rows;
  } finally {
    reader.close();
    writer.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A knowledge base as its owner finds it. */
async function evaluateBase(questions: readonly Question[], wire: string): Promise<Rows> {
  const settings = loadSettings(process.env);
  const log = createLogger('error');
  const database = await openDatabase(settings, log);
  const { embedder } = createModelGateway(loadModelsConfig(settings.modelsPath, settings.env));
  let failures = 0;
  let reason: unknown;
  const counted: TextEmbedder | undefined = embedder && {
    model: embedder.model,
    embed: (...args) =>
      embedder.embed(...args).catch((error: unknown) => {
        failures += 1;
        reason = error;
        throw error;
      }),
  };
  const knowledge = openKnowledge({ database, dataDir: settings.dataDir, log, embedder: counted });
  try {
    await database.ready();
    const { base, principal } = await knowledge.base(wire.replace(/^kb-/, ''));
    const scope = { knowledgeBaseIds: [base._id] };
    // The first search brings the index up; that is no part of the figures.
    await knowledge.index.catchUp(principal);
    const result = await measure(questions, async (question) => {
      const hits = await knowledge.search.search(principal, question.question, { scope, limit: DEPTH });
      return hits.map((hit) => isRelevant(question, hit));
    });
    if (failures > 0)
      console.error(
        `koagent: the embedding model failed, words alone were searched in part: ${(reason as Error).message}`,
      );
    return [{ name: base.name, result }];
  } finally {
    await knowledge.close();
    await database.close();
  }
}

async function main(): Promise<void> {
  const { help, file: files, base, limit, compare } = readArguments();
  if (help) return console.log(HELP);
  for (const file of files) {
    const { questions, contexts } = readQuestions(readFileSync(file, 'utf8'));
    const asked = questions.slice(0, limit);
    const rows = base === undefined ? await evaluateTexts(asked, contexts, compare) : await evaluateBase(asked, base);
    console.log(`${file}${base === undefined ? `, ${contexts.length} paragraphs` : ''}`);
    print(rows);
    console.log();
  }
}

try {
  await main();
} catch (error) {
  if (error instanceof UsageError) console.error(`koagent: ${error.message}\n\n${HELP}`);
  else
    console.error(
      error instanceof AppError || (error as { code?: string }).code === 'ENOENT'
        ? `koagent: ${(error as Error).message}`
        : error,
    );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
