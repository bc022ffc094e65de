import { defineRoute, defineRoutes, FileReply } from '../../../core/http/route.ts';
import { Type, time } from '../../../core/schema.ts';
import { UploadMissingError } from '../errors.ts';
import type { FileService } from '../public.ts';

const path = (description: string) => Type.String({ description, label: { zh: '路径', en: 'Path' } });

/** Source: tasks document, "文件上传" and "文件浏览/下载". */
export const taskRoutes = (files: FileService, maxFileBytes: number) =>
  defineRoutes('tasks', {
    tag: { zh: '文件', en: 'Files' },
    codes: { FILE_QUOTA_EXCEEDED: 413 },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/files/upload',
        auth: 'api',
        bodyType: 'multipart',
        maxBodyBytes: maxFileBytes,
        summary: { zh: '上传文件到 user_upload', en: 'Stores a file in user_upload' },
        body: Type.Object({
          file: Type.Optional(Type.Unsafe<unknown>({ type: 'string', format: 'binary' })),
          filename: Type.Optional(
            Type.String({ description: 'Default: the name of the part', label: { zh: '文件名', en: 'File name' } }),
          ),
          dir: Type.Optional(
            Type.String({ description: 'Directory below user_upload', label: { zh: '目录', en: 'Directory' } }),
          ),
        }),
        reply: Type.Object({
          path: path('From user_upload on'),
          filename: Type.String(),
          size: Type.Integer(),
          sha256: Type.String(),
        }),
        errors: ['UPLOAD_MISSING', 'NAME_ILLEGAL', 'PATH_ILLEGAL', 'FILE_TOO_BIG', 'FILE_QUOTA_EXCEEDED'],
        handler({ principal, body: { filename, dir }, files: { file } }) {
          if (!file) throw new UploadMissingError();
          const name = filename?.trim() ? filename : file.filename;
          return files.upload(principal, { name, source: file.path, ...(dir !== undefined && { directory: dir }) });
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/files',
        auth: 'api',
        summary: { zh: '列出目录', en: 'Lists a directory' },
        query: Type.Object({ path: Type.Optional(path('From user_upload on; default: user_upload itself')) }),
        reply: Type.Object({
          base: Type.String(),
          items: Type.Array(
            Type.Object({
              name: Type.String(),
              is_dir: Type.Boolean(),
              size: Type.Integer(),
              modified_at: time(),
              path: Type.String(),
            }),
          ),
        }),
        errors: ['PATH_ILLEGAL', 'PATH_NOT_DIRECTORY', 'PATH_NOT_FOUND'],
        async handler({ principal, query }) {
          const { base, items } = await files.list(principal, query.path ?? '');
          return {
            base,
            items: items.map(({ isDirectory, modifiedAt, ...item }) => ({
              ...item,
              is_dir: isDirectory,
              modified_at: modifiedAt,
            })),
          };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/files/download',
        auth: 'api',
        replyType: 'file',
        summary: { zh: '下载文件；目录打包为 zip', en: 'Downloads a file, or a directory as ZIP' },
        query: Type.Object({ path: Type.Optional(path('From user_upload on')) }),
        errors: ['PATH_MISSING', 'PATH_ILLEGAL', 'PATH_NOT_FOUND'],
        async handler({ principal, query }) {
          const { content, ...options } = await files.download(principal, query.path);
          return new FileReply(content, options);
        },
      }),
    ],
  });
