import type { Language } from '../../../core/contracts/contract.ts';
import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import type { UsageService } from '../../../runtime/usage/index.ts';
import { ACCOUNT_STATUS } from '../../auth/public.ts';
import type { AdminService, AuditLogService, AuditRecord } from '../public.ts';
import { rangeFields, readRange } from './range.ts';
import { usageReply, usageView } from './usage.ts';

const USER = { zh: '用户', en: 'User' };
const STATUS = { zh: '状态', en: 'Status' };
const count = () => Type.Integer();
const keyword = (zh: string, en: string) => Type.Optional(text({ label: { zh, en }, maxLength: 200 }));

/** Gibibytes with two decimals. */
const gigabytes = (bytes: number) => Math.round((bytes / 1_073_741_824) * 100) / 100;

const auditView = (language: Language) => (entry: AuditRecord) => ({
  id: entry.id,
  at: entry.at,
  accountId: entry.accountId ?? null,
  principal: entry.principal ?? null,
  tenantId: entry.tenantId ?? null,
  contract: entry.contract ?? null,
  method: entry.method,
  route: entry.route,
  action: entry.action[language],
  objectIds: [...entry.objectIds],
  status: entry.status,
  ip: entry.ip,
  traceId: entry.traceId,
});

export interface AdminRouteParts {
  admin: AdminService;
  audit: AuditLogService;
  usage: UsageService;
}

/** Source: research document, section 8. Additions: audit log and usage. */
export const researchRoutes = ({ admin, audit, usage }: AdminRouteParts) =>
  defineRoutes('research', {
    tag: { zh: '管理后台', en: 'Administration' },
    codes: { ACCOUNT_NOT_FOUND: 'NOT_FOUND', OWN_ACCOUNT: 'CONFLICT' },
    routes: [
      defineRoute({
        method: 'GET',
        path: '/admin/users',
        auth: 'admin',
        paged: { sortBy: ['createdAt', 'lastLoginAt', 'email'] },
        summary: { zh: '用户列表', en: 'All users' },
        query: Type.Object({
          status: Type.Optional(oneOf(ACCOUNT_STATUS, { label: STATUS })),
          keyword: keyword('关键词', 'Keyword'),
        }),
        reply: Type.Object({
          id: id('user'),
          email: Type.String(),
          name: Type.String(),
          role: oneOf(['user', 'admin']),
          status: oneOf(ACCOUNT_STATUS),
          kbUsed: count(),
          conversationCount: count(),
          lastLoginAt: nullable(time()),
          createdAt: time(),
        }),
        handler: async ({ principal, query, paging: { page: _page, sortBy, ...paging } }) => {
          const { items, total } = await admin.accounts(principal, {
            ...query,
            ...paging,
            ...((sortBy === 'createdAt' || sortBy === 'lastLoginAt' || sortBy === 'email') && { sortBy }),
          });
          return {
            items: items.map((account) => ({
              ...account,
              name: account.displayName,
              lastLoginAt: account.lastLoginAt ?? null,
            })),
            total,
          };
        },
      }),
      defineRoute({
        method: 'PATCH',
        path: '/admin/users/:id',
        auth: 'admin',
        summary: { zh: '更新用户状态', en: 'Blocks or unblocks a user, at once' },
        params: Type.Object({ id: id('user', { label: USER }) }),
        body: Type.Object({ status: oneOf(ACCOUNT_STATUS, { label: STATUS }) }),
        message: { zh: '用户状态已更新', en: 'The status of the user was changed' },
        errors: ['ACCOUNT_NOT_FOUND', 'OWN_ACCOUNT'],
        handler: ({ principal, params, body }) => admin.setStatus(principal, params.id, body.status),
      }),
      defineRoute({
        method: 'GET',
        path: '/admin/statistics',
        auth: 'admin',
        summary: { zh: '数据统计', en: 'Figures of the whole installation' },
        reply: Type.Object({
          users: Type.Object({ total: count(), active: count(), newToday: count(), new7Days: count() }),
          conversations: Type.Object({ total: count(), today: count(), avgPerUser: Type.Number() }),
          agents: Type.Object({
            mostUsed: Type.Array(Type.Object({ agentId: id('agent'), name: Type.String(), count: count() })),
          }),
          knowledgeBases: Type.Object({ total: count(), totalDocuments: count(), totalSizeGB: Type.Number() }),
        }),
        handler: async ({ principal }) => {
          const { accounts, conversations, knowledge } = await admin.statistics(principal);
          return {
            users: accounts,
            conversations: { ...conversations, avgPerUser: conversations.perAccount },
            agents: { mostUsed: conversations.mostUsed },
            knowledgeBases: {
              total: knowledge.bases,
              totalDocuments: knowledge.documents,
              totalSizeGB: gigabytes(knowledge.bytes),
            },
          };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/admin/audit-log',
        auth: 'admin',
        paged: true,
        summary: {
          zh: '审计日志：谁在何时何地对哪些对象做了什么（最新在前）',
          en: 'Audit log: who did what to which objects, when and from where; newest first',
        },
        query: Type.Object({
          accountId: Type.Optional(id('user', { label: USER })),
          objectId: Type.Optional(text({ label: { zh: '对象', en: 'Object' }, maxLength: 200 })),
          action: keyword('操作', 'Action'),
          route: Type.Optional(text({ label: { zh: '路径模板', en: 'Route' }, maxLength: 500 })),
          ...rangeFields,
        }),
        reply: Type.Object({
          id: Type.String(),
          at: time(),
          accountId: nullable(id('user')),
          principal: nullable(Type.String()),
          tenantId: nullable(Type.String()),
          contract: nullable(Type.String()),
          method: Type.String(),
          route: Type.String({ description: 'template of the path' }),
          action: Type.String({ description: 'what the route does, in words' }),
          objectIds: Type.Array(Type.String()),
          status: Type.Integer(),
          ip: Type.String(),
          traceId: Type.String(),
        }),
        handler: async ({ principal, query, paging, request }) => {
          const { items, total } = await audit.list(principal, { ...query, ...readRange(query) }, paging);
          return { items: items.map(auditView(request.language)), total };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/admin/usage',
        auth: 'admin',
        summary: { zh: '模型用量与费用（按天和模型）', en: 'Tokens and costs of models, by day and model' },
        query: Type.Object({ accountId: Type.Optional(id('user', { label: USER })), ...rangeFields }),
        reply: usageReply,
        handler: ({ principal, query }) =>
          usageView(usage, principal, { everyTenant: true, ...query, ...readRange(query) }),
      }),
      defineRoute({
        method: 'GET',
        path: '/users/me/usage',
        auth: 'user',
        summary: {
          zh: '我的模型用量、费用与额度',
          en: 'What the caller used of models, what it cost, and what is left of budgets',
        },
        query: Type.Object(rangeFields),
        reply: usageReply,
        handler: ({ principal, query }) =>
          usageView(usage, principal, { accountId: principal.accountId, ...readRange(query) }),
      }),
    ],
  });
