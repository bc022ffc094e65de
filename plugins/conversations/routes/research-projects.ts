import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { id, Type, text, time } from '../../../core/schema.ts';
import type { ProjectService } from '../public.ts';

const projectId = () => id('project', { label: { zh: '项目', en: 'Project' } });
const params = Type.Object({ id: projectId() });

const body = Type.Object({
  name: text({ label: { zh: '项目名称', en: 'Name' }, minLength: 1, maxLength: 100 }),
  description: Type.String({ label: { zh: '项目描述', en: 'Description' }, maxLength: 5000, default: '' }),
});

const reply = Type.Object({
  id: projectId(),
  name: Type.String(),
  description: Type.String(),
  conversationCount: Type.Integer(),
  createdAt: time(),
  updatedAt: time(),
});

/** Source: research document, section 3. */
export const projectRoutes = (projects: ProjectService) =>
  defineRoutes('research', {
    tag: { zh: '项目', en: 'Projects' },
    codes: {},
    routes: [
      defineRoute({
        method: 'GET',
        path: '/projects',
        auth: 'user',
        summary: { zh: '项目列表', en: 'The projects of the caller' },
        query: Type.Object({
          keyword: Type.Optional(text({ maxLength: 200, description: 'in name or description' })),
        }),
        paged: { sortBy: ['createdAt', 'updatedAt', 'name'] },
        reply,
        handler: ({ principal, query, paging: { offset, limit, sortBy, sortOrder } }) =>
          projects.list(principal, query, {
            offset,
            limit,
            sortBy: sortBy === 'updatedAt' || sortBy === 'name' ? sortBy : 'createdAt',
            ...(sortOrder && { sortOrder }),
          }),
      }),
      defineRoute({
        method: 'POST',
        path: '/projects',
        auth: 'user',
        status: 201,
        summary: { zh: '创建项目', en: 'Makes a project' },
        body,
        reply,
        handler: ({ principal, body: project }) => projects.create(principal, project),
      }),
      defineRoute({
        method: 'GET',
        path: '/projects/:id',
        auth: 'user',
        summary: { zh: '项目详情', en: 'One project' },
        params,
        reply,
        errors: ['PROJECT_NOT_FOUND'],
        handler: ({ principal, params: { id: project } }) => projects.get(principal, project),
      }),
      defineRoute({
        method: 'PUT',
        path: '/projects/:id',
        auth: 'user',
        summary: { zh: '更新项目，未给出的描述视为空', en: 'Replaces name and description' },
        params,
        body,
        reply,
        errors: ['PROJECT_NOT_FOUND'],
        handler: ({ principal, params: { id: project }, body: changes }) =>
          projects.update(principal, project, changes),
      }),
      defineRoute({
        method: 'DELETE',
        path: '/projects/:id',
        auth: 'user',
        status: 204,
        summary: { zh: '删除项目及其对话', en: 'Deletes a project with its conversations' },
        params,
        errors: ['PROJECT_NOT_FOUND'],
        handler: ({ principal, params: { id: project } }) => projects.delete(principal, project),
      }),
    ],
  });
