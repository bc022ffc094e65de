import { auditService } from '../../core/audit.ts';
import { databaseService } from '../../core/data/database.ts';
import { definePlugin } from '../../core/plugin.ts';
import { Type } from '../../core/schema.ts';
import { usageService } from '../../runtime/usage/index.ts';
import { accountService } from '../auth/public.ts';
import { conversationService } from '../conversations/public.ts';
import { knowledgeService } from '../knowledge/public.ts';
import { auditModel } from './audit/model.ts';
import { createAuditLog } from './audit/service.ts';
import { adminService, auditLogService } from './public.ts';
import { researchRoutes } from './routes/research.ts';
import { createAdminService } from './service.ts';

export default definePlugin({
  name: 'admin',
  config: Type.Object({
    auditDays: Type.Integer({
      minimum: 0,
      maximum: 36_500,
      default: 365,
      description: 'how long entries of the audit log are kept; 0: for ever',
    }),
  }),
  requires: { database: databaseService, accounts: accountService, usage: usageService },
  uses: { conversations: conversationService, knowledge: knowledgeService },
  provides: { admin: adminService, audit: auditService, auditLog: auditLogService },

  setup({ config, services, log, onDispose }) {
    const { database, usage } = services;
    const audit = createAuditLog(auditModel(database, config.auditDays), log);
    onDispose('admin: what waits for the audit log', () => audit.close());
    const admin = createAdminService(services);
    return {
      services: { admin, audit, auditLog: audit },
      routes: [researchRoutes({ admin, audit, usage })],
      ready: () => database.ready(),
    };
  },
});
