import type { Context } from 'koa';
import { type Authenticator, accountBlocked, adminRequired, type Identity, type TokenCheck } from '../auth.ts';
import { AppError } from '../errors.ts';
import type { Principal } from '../principal.ts';
import type { AuthRule } from './route.ts';
import { validationFailed } from './validate.ts';

export const unauthenticated = (): AppError =>
  new AppError('unauthenticated', 'UNAUTHENTICATED', {
    zh: '未认证或登录已过期',
    en: 'Not authenticated, or the token has expired',
  });

/** The bearer value: from the header, or from the query where a browser's EventSource cannot send headers. */
export function bearerOf(ctx: Context, inQuery: boolean): string | undefined {
  const header = /^bearer\s+(.+)$/i.exec(ctx.get('authorization').trim())?.[1]?.trim();
  if (header !== undefined || !inQuery) return header;
  const value = ctx.query.token ?? ctx.query.access_token;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * Lets a request in: the caller that the route asks for, in the tenant that the request names.
 *
 * @throws {AppError} UNAUTHENTICATED, ACCOUNT_BLOCKED, ADMIN_REQUIRED, VALIDATION_FAILED (no tenant), TENANT_FORBIDDEN
 */
export async function admit(
  ctx: Context,
  rule: AuthRule,
  token: TokenCheck,
  authenticator: Authenticator | undefined,
  tenantInQuery: boolean,
): Promise<Principal | undefined> {
  if (rule === 'none') return undefined;
  const identity = identityFor(rule, token);
  if (rule !== 'tenant') return identity.principal;
  if (authenticator === undefined) throw unauthenticated();
  return authenticator.inTenant(identity, tenantOf(ctx, tenantInQuery));
}

/**
 * The caller behind a checked token, where no tenant is named.
 *
 * @throws {AppError} UNAUTHENTICATED, ACCOUNT_BLOCKED, ADMIN_REQUIRED
 */
export const admitCaller = (rule: Exclude<AuthRule, 'none' | 'tenant'>, token: TokenCheck): Principal =>
  identityFor(rule, token).principal;

/**
 * Any caller: the account behind a JWT, in the tenant that the request names if it names one, or an API account.
 *
 * @throws {AppError} UNAUTHENTICATED, ACCOUNT_BLOCKED, TENANT_FORBIDDEN
 */
export async function admitAnyone(
  ctx: Context,
  token: TokenCheck,
  authenticator: Authenticator | undefined,
): Promise<Principal> {
  const identity = identityFor(token.kind === 'api' ? 'api' : 'user', token);
  if (ctx.get('x-tenant-id').trim() === '' || authenticator === undefined) return identity.principal;
  return authenticator.inTenant(identity, tenantOf(ctx, false));
}

function identityFor(rule: AuthRule, token: TokenCheck): Identity {
  const identity = callerOf(rule, token);
  if (identity === undefined) throw unauthenticated();
  if (identity.blocked) throw accountBlocked();
  if (rule === 'admin' && !identity.principal.roles.includes('admin')) throw adminRequired();
  return identity;
}

function callerOf(rule: AuthRule, token: TokenCheck): Identity | undefined {
  const wanted = rule === 'api' ? 'api' : 'jwt';
  return token.kind === wanted && 'identity' in token ? token.identity : undefined;
}

function tenantOf(ctx: Context, inQuery: boolean): string {
  const header = ctx.get('x-tenant-id').trim();
  const query = inQuery && typeof ctx.query.tenantId === 'string' ? ctx.query.tenantId.trim() : '';
  const field = (zh: string, en: string) => validationFailed([{ field: 'X-Tenant-Id', message: { zh, en } }]);
  if (header !== '' && query !== '' && header !== query) {
    throw field('请求头与查询参数中的租户不一致', 'The tenants of header and query differ');
  }
  const tenant = header || query;
  if (tenant === '') throw field('租户标识不能为空', 'The tenant is required');
  return tenant;
}
