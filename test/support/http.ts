import type { TestContext } from 'node:test';
import { Value } from 'typebox/value';
import type { AuditService } from '../../core/audit.ts';
import type { TokenCheck } from '../../core/auth.ts';
import { AppError } from '../../core/errors.ts';
import { createRateLimiter, limitsSchema } from '../../core/http/limits.ts';
import type { Mount } from '../../core/http/mount.ts';
import type { RouteSet } from '../../core/http/route.ts';
import { createHttpServer, type HttpOptions, type HttpServer, type HttpServerOptions } from '../../core/http/server.ts';
import type { SocketRoute } from '../../core/http/socket.ts';
import { createLogger } from '../../core/log.ts';
import { type Answer, type CallOptions, callApi } from './api-client.ts';

/** Tokens that a test has taken back. */
export const revoked = new Set<string>();

/** Tokens of the test server: `user:<audience>`, `admin:<audience>`, `api`, `blocked`; all in tenant `home`. */
const identities = async (value: string | undefined): Promise<TokenCheck> => {
  if (value === undefined) return { kind: 'none' };
  if (revoked.has(value)) return { kind: 'invalid', audience: [], jwt: true };
  const [name = '', audience = 'research'] = value.split(':');
  const principal = (kind: 'user' | 'api', ...roles: ('user' | 'admin')[]) => ({
    blocked: name === 'blocked',
    principal: { kind, accountId: name, tenantId: 'home', roles },
  });
  if (name === 'api') return { kind: 'api', identity: principal('api') };
  if (name === 'user' || name === 'blocked')
    return { kind: 'jwt', audience: [audience as 'research'], identity: principal('user', 'user') };
  if (name === 'admin')
    return { kind: 'jwt', audience: [audience as 'research'], identity: principal('user', 'user', 'admin') };
  return { kind: 'invalid', audience: name === 'expired' ? [audience as 'research'] : [], jwt: name === 'expired' };
};

export interface TestHttp {
  url: string;
  http: HttpServer;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
}

/** The HTTP layer over given routes, without plugins or a store. Numbers of ids are counted in memory. */
export async function serveRoutes(
  t: TestContext,
  routeSets: RouteSet[],
  options: Partial<HttpOptions> = {},
  sockets: SocketRoute[] = [],
  audit?: AuditService,
  mounts: Mount[] = [],
  patience: HttpServerOptions['patience'] = {},
): Promise<TestHttp> {
  const known = new Map<string, number>();
  const http = createHttpServer({
    routeSets,
    sockets,
    audit,
    mounts,
    log: createLogger('silent'),
    version: '1.0.0',
    patience,
    http: {
      origins: [],
      trustProxy: false,
      limits: Value.Default(limitsSchema, {}) as HttpOptions['limits'],
      ...options,
    },
    limiter: createRateLimiter(options.limits ?? (Value.Default(limitsSchema, {}) as HttpOptions['limits'])),
    notReady: async () => ({}),
    authenticator: {
      check: identities,
      async inTenant({ principal }, tenantId) {
        if (tenantId === 'foreign')
          throw new AppError('forbidden', 'TENANT_FORBIDDEN', { zh: '无权使用该租户', en: 'Not your tenant' });
        return { ...principal, tenantId };
      },
    },
    numbers: {
      async numberOf(kind, ids) {
        for (const id of ids) if (!known.has(`${kind} ${id}`)) known.set(`${kind} ${id}`, known.size + 1);
        return new Map(ids.map((id) => [id, known.get(`${kind} ${id}`) ?? 0]));
      },
      idOf: async (kind, number) =>
        [...known].find(([key, value]) => value === number && key.startsWith(`${kind} `))?.[0].split(' ')[1],
    },
  });
  const url = await http.listen('127.0.0.1', 0);
  t.after(() => http.close(1000));
  return { url, http, call: (method, path, options) => callApi(url, method, path, options) };
}
