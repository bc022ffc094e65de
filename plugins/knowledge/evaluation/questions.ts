import { AppError } from '../../../core/errors.ts';

/** A question and what makes a passage the right one; everything that is given has to fit. */
export interface Question {
  question: string;
  /** Text that the passage is part of, or holds. */
  context?: string;
  /** One of these stands in the passage. Looked at only without `context`. */
  answers?: string[];
  /** File name or id of the document. */
  document?: string;
  page?: number;
}

const malformed = (en: string, zh: string) => new AppError('invalid', 'QUESTIONS_MALFORMED', { zh, en });

/**
 * Reads questions: SQuAD-like JSON (`data[].paragraphs[].{context, qas[].{question, answers[].text}}`), or
 * `{question, context?, answers?, document?, page?}`, one a line (JSONL) or in an array. Questions without text are left out, and those
 * that SQuAD marks as impossible.
 *
 * @throws {AppError} QUESTIONS_MALFORMED
 */
export function readQuestions(text: string): { questions: Question[]; contexts: string[] } {
  const whole = wholeOf(text);
  const questions = Array.isArray(whole)
    ? whole.map((value, at) => questionOf(value, `Question ${at + 1}`, `第 ${at + 1} 个问题`))
    : typeof whole === 'object' && whole !== null && 'data' in whole
      ? fromSquad(whole as Squad)
      : fromLines(text);
  const asked = questions.filter(({ question }) => question.trim() !== '');
  if (asked.length === 0) throw malformed('The file holds no questions', '文件中没有问题');
  const contexts = [...new Set(questions.flatMap(({ context }) => context ?? []))];
  return { questions: asked, contexts };
}

const wholeOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
};

interface Squad {
  data: {
    paragraphs: {
      context: string;
      qas: { question: string; is_impossible?: boolean; answers?: { text: string }[] }[];
    }[];
  }[];
}

function fromSquad(file: Squad): Question[] {
  try {
    return file.data.flatMap(({ paragraphs }) =>
      paragraphs.flatMap(({ context, qas }) =>
        qas
          .filter(({ is_impossible }) => is_impossible !== true)
          .map(({ question, answers = [] }) => ({ question, context, answers: answers.map(({ text }) => text) })),
      ),
    );
  } catch (error) {
    if (error instanceof TypeError)
      throw malformed('The file is not of the SQuAD form: data[].paragraphs[].qas[]', '文件不是 SQuAD 格式');
    throw error;
  }
}

function fromLines(text: string): Question[] {
  return text.split(/\r?\n/).flatMap((line, at) => {
    if (line.trim() === '') return [];
    try {
      return [questionOf(JSON.parse(line), `Line ${at + 1}`, `第 ${at + 1} 行`)];
    } catch (error) {
      if (error instanceof SyntaxError) throw malformed(`Line ${at + 1} is not JSON`, `第 ${at + 1} 行不是 JSON`);
      throw error;
    }
  });
}

function questionOf(value: unknown, en: string, zh: string): Question {
  if (typeof value !== 'object' || value === null) throw malformed(`${en} is not an object`, `${zh}不是对象`);
  const { question, context, passage, answers, answer, document, filename, page } = value as Record<string, unknown>;
  if (typeof question !== 'string') throw malformed(`${en} has no question`, `${zh}没有 question`);
  const given = [answers, answer]
    .flat()
    .map((item) => (typeof item === 'object' && item !== null && 'text' in item ? item.text : item))
    .filter((item) => typeof item === 'string' && item.trim() !== '') as string[];
  const holder = document ?? filename;
  const around = context ?? passage;
  const read: Question = {
    question,
    ...(typeof around === 'string' && { context: around }),
    ...(given.length > 0 && { answers: given }),
    ...(typeof holder === 'string' && { document: holder }),
    ...(typeof page === 'number' && { page }),
  };
  // No passage could be the right one: the figures would say that the search fails.
  if (Object.keys(read).length === 1)
    throw malformed(
      `${en} has none of context, answers, document, page`,
      `${zh}缺少 context、answers、document 或 page`,
    );
  return read;
}

const plain = (text: string) => text.normalize('NFKC').toLowerCase().replace(/\s+/g, '');

/** A passage as far as relevance goes. */
export interface Judged {
  text: string;
  documentId?: string;
  filename?: string;
  page?: number | null;
  pageEnd?: number | null;
}

/** Whether a passage is the right one for a question. */
export function isRelevant({ context, answers, document, page }: Question, hit: Judged): boolean {
  if (document !== undefined && document !== hit.filename && document !== hit.documentId) return false;
  if (page !== undefined && !(hit.page != null && page >= hit.page && page <= (hit.pageEnd ?? hit.page))) return false;
  const text = plain(hit.text);
  if (context !== undefined) {
    const wanted = plain(context);
    if (text.includes(wanted)) return true;
    if (!answers?.length) return wanted.includes(text);
    // A part of the paragraph counts when it is the part with the answer.
    return answers.some((one) => holdsPart(text, wanted, plain(one)));
  }
  if (answers?.length) return answers.some((one) => text.includes(plain(one)));
  return document !== undefined || page !== undefined;
}

/** Characters beside an answer that show that it is this one. */
const BESIDE = 12;

/** Whether a text has an answer as it stands in its paragraph, with what is before or after it. */
function holdsPart(text: string, paragraph: string, answer: string): boolean {
  if (answer === '') return false;
  for (let at = paragraph.indexOf(answer); at >= 0; at = paragraph.indexOf(answer, at + 1)) {
    const end = at + answer.length;
    if (at >= BESIDE && text.includes(paragraph.slice(at - BESIDE, end))) return true;
    if (end + BESIDE <= paragraph.length && text.includes(paragraph.slice(at, end + BESIDE))) return true;
  }
  return paragraph.includes(text) && text.includes(answer);
}
