import { AppError, type LocalText } from '../../core/errors.ts';

/** The base does not exist, or is not the caller's; callers are never told which. */
export class KnowledgeBaseNotFoundError extends AppError {
  constructor(baseId: string) {
    super(
      'not_found',
      'KNOWLEDGE_BASE_NOT_FOUND',
      { zh: '知识库不存在', en: 'The knowledge base does not exist' },
      { details: { baseId } },
    );
  }
}

export class DocumentNotFoundError extends AppError {
  constructor(documentId: string) {
    super(
      'not_found',
      'KNOWLEDGE_DOCUMENT_NOT_FOUND',
      { zh: '文档不存在', en: 'The document does not exist' },
      { details: { documentId } },
    );
  }
}

export class KnowledgeQuotaError extends AppError {
  constructor(resource: 'knowledge_base' | 'document', quota: number, used: number) {
    super(
      'quota_exceeded',
      'KNOWLEDGE_QUOTA_EXCEEDED',
      resource === 'document'
        ? { zh: '文档数量已达上限', en: 'The limit of documents is reached' }
        : { zh: '知识库数量已达上限', en: 'The limit of knowledge bases is reached' },
      { details: { resource, quota, used } },
    );
  }
}

export class KnowledgeBaseNameTakenError extends AppError {
  constructor(name: string) {
    super(
      'conflict',
      'KNOWLEDGE_BASE_NAME_TAKEN',
      { zh: `知识库“${name}”已存在`, en: `There is a knowledge base "${name}" already` },
      { details: { name } },
    );
  }
}

/** The document is being imported; its file cannot be replaced right now. */
export class DocumentBusyError extends AppError {
  constructor(documentId: string) {
    super(
      'conflict',
      'KNOWLEDGE_DOCUMENT_BUSY',
      { zh: '文档正在处理中，请稍后再试', en: 'The document is being processed, try again later' },
      { details: { documentId } },
    );
  }
}

/** Why a file is refused before anything of it is stored. */
export type FileCode = 'FILE_MISSING' | 'FILE_EMPTY' | 'FILE_TOO_LARGE' | 'FILE_TYPE_UNSUPPORTED';

export class FileRefusedError extends AppError {
  constructor(code: FileCode, text: LocalText) {
    super('invalid', code, text, { fields: [{ field: 'file', message: text }] });
  }
}

const UNREADABLE = [
  'DOCUMENT_NO_TEXT',
  'DOCUMENT_ENCRYPTED',
  'DOCUMENT_BROKEN',
  'DOCUMENT_LEGACY_WORD',
  'DOCUMENT_KIND_UNKNOWN',
  'DOCUMENT_TOO_MANY_PAGES',
  'DOCUMENT_TOO_LONG',
  'DOCUMENT_EXPANDS',
] as const;

/** Why a stored file cannot be read; shown with the failed document. */
export type UnreadableCode = (typeof UNREADABLE)[number];

export const isUnreadable = (code: string): code is UnreadableCode => UNREADABLE.some((known) => known === code);

/** The import ended for a reason that is not in the file. */
export const importFailed = (
  text: LocalText = { zh: '文档处理失败，请稍后重新上传', en: 'The import failed; upload the document again later' },
) => new AppError('internal', 'IMPORT_FAILED', text);

export class UnreadableError extends AppError {
  constructor(code: UnreadableCode, text: LocalText, cause?: unknown) {
    super('invalid', code, text, { cause });
  }
}

export const noText = () =>
  new UnreadableError('DOCUMENT_NO_TEXT', {
    zh: '文档中没有可识别的文字（可能只包含图片）',
    en: 'The document holds no text (perhaps only pictures)',
  });

export const encrypted = (cause?: unknown) =>
  new UnreadableError(
    'DOCUMENT_ENCRYPTED',
    {
      zh: '文档已加密，请移除密码后重新上传',
      en: 'The document is encrypted; remove the password and upload it again',
    },
    cause,
  );

export const broken = (cause?: unknown) =>
  new UnreadableError(
    'DOCUMENT_BROKEN',
    { zh: '文档已损坏或不完整，无法读取', en: 'The document is damaged or incomplete and cannot be read' },
    cause,
  );

export const legacyWord = () =>
  new UnreadableError('DOCUMENT_LEGACY_WORD', {
    zh: '不支持旧版 Word 格式（.doc），请另存为 .docx 后上传',
    en: 'The old Word format (.doc) is not supported; save the file as .docx and upload that',
  });

export const unknownKind = () =>
  new UnreadableError('DOCUMENT_KIND_UNKNOWN', {
    zh: '文件内容不是受支持的格式（PDF、DOCX、TXT、Markdown、HTML、CSV）',
    en: 'The content of the file is none of the supported formats (PDF, DOCX, TXT, Markdown, HTML, CSV)',
  });

export const tooManyPages = (pages: number, limit: number) =>
  new UnreadableError('DOCUMENT_TOO_MANY_PAGES', {
    zh: `文档有 ${pages} 页，超过 ${limit} 页的上限`,
    en: `The document has ${pages} pages, more than the limit of ${limit}`,
  });

export const tooLong = (limit: number) =>
  new UnreadableError('DOCUMENT_TOO_LONG', {
    zh: `文档文字超过 ${limit} 个字符的上限`,
    en: `The text of the document exceeds the limit of ${limit} characters`,
  });

export const expandsTooMuch = () =>
  new UnreadableError('DOCUMENT_EXPANDS', {
    zh: '文档解压后的大小或条目数超过上限',
    en: 'The document exceeds the limits of size or entries when it is decompressed',
  });
