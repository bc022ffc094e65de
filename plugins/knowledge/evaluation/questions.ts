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
 * Reads questions: SQuAD-like JSON (`data[].paragraphs[].{context, qas[].{question, answers[].text}}`), or JSONL with one
 * `{question, context?, answers?, document?, page?}` a line. Questions without text are left out.
 *
 * @throws {AppError} QUESTIONS_MALFORMED
 */
export function readQuestions(text: string): { questions: Question[]; contexts: string[] } {
  const questions = isWhole(text) ? fromSquad(JSON.parse(text)) : fromLines(text);
  const asked = questions.filter(({ question }) => question.trim() !== '');
  if (asked.length === 0) throw malformed('The file holds no questions', '文件中没有问题');
  const contexts = [...new Set(questions.flatMap(({ context }) => context ?? []))];
  return { questions: asked, contexts };
}

const isWhole = (text: string) => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'data' in value;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
};

interface Squad {
  data: { paragraphs: { context: string; qas: { question: string; answers?: { text: string }[] }[] }[] }[];
}

function fromSquad(file: Squad): Question[] {
  try {
    return file.data.flatMap(({ paragraphs }) =>
      paragraphs.flatMap(({ context, qas }) =>
        qas.map(({ question, answers = [] }) => ({ question, context, answers: answers.map(({ text }) => text) })),
      ),
    );
  } catch (error) {
    if (error instanceof TypeError)
      throw malformed('The file is not of the SQuAD form: data[].paragraphs[].qas[]', '文件不是 SQuAD 格式');
    throw error;
  }
}

function fromLines(text: string): Question[] {
  const questions: Question[] = [];
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    let value: Record<string, unknown>;
    try {
      value = JSON.parse(line) as Record<string, unknown>;
    } catch (error) {
      if (error instanceof SyntaxError) throw malformed(`Line ${at + 1} is not JSON`, `第 ${at + 1} 行不是 JSON`);
      throw error;
    }
    const { question, context, passage, answers, answer, document, filename, page } = value;
    if (typeof question !== 'string') throw malformed(`Line ${at + 1} has no question`, `第 ${at + 1} 行没有 question`);
    const given = [answers, answer].flat().filter((item) => typeof item === 'string');
    const holder = document ?? filename;
    const around = context ?? passage;
    questions.push({
      question,
      ...(typeof around === 'string' && { context: around }),
      ...(given.length > 0 && { answers: given }),
      ...(typeof holder === 'string' && { document: holder }),
      ...(typeof page === 'number' && { page }),
    });
  }
  return questions;
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
    const inside = text.includes(wanted) || wanted.includes(text);
    // A part of the paragraph counts when it is the part with the answer.
    return (
      inside && (text.length >= wanted.length || !answers?.length || answers.some((one) => text.includes(plain(one))))
    );
  }
  if (answers?.length) return answers.some((one) => text.includes(plain(one)));
  return document !== undefined || page !== undefined;
}
