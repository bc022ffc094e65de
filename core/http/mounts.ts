import Router from '@koa/router';
import type { Context } from 'koa';
import type { AuditService } from '../audit.ts';
import type { Authenticator, TokenCheck } from '../auth.ts';
import type { ApiContext } from './api.ts';
import { addIds, beginDeed, noteDeed } from './audit-trail.ts';
import { bodyKind, readJson } from './body.ts';
import { sendEvents } from './event-stream.ts';
import { asAppError, CLIENT_GONE, MAX_JSON_BYTES, watchClient, wrongType } from './exchange.ts';
import { admitAnyone, bearerOf } from './gate.ts';
import type { RateLimiter } from './limits.ts';
import type { Mount, MountContext } from './mount.ts';
import { sendFailure } from './reply.ts';
import { EventStream } from './route.ts';

export interface MountsOptions {
  mounts: readonly Mount[];
  authenticator: Authenticator | undefined;
  limiter: RateLimiter;
  audit: AuditService | undefined;
}

export interface Mounts {
  readonly routes: ReturnType<Router['routes']>;
  /** Ends all open event streams. */
  endStreams(): void;
}

/**
 * The routes outside `/api/v1`.
 *
 * @throws {Error} for two of the same method and path, and for paths of the API
 */
export function createMounts({ mounts, authenticator, limiter, audit }: MountsOptions): Mounts {
  const streams = new Set<AbortController>();
  const closing = new AbortController();
  const check = async (ctx: Context): Promise<TokenCheck> =>
    (await authenticator?.check(bearerOf(ctx, false))) ?? { kind: 'none' };

  /** Whether the token of a request is still good. */
  const recheck = (ctx: ApiContext, token: TokenCheck) => async () => {
    const now = await check(ctx);
    return now.kind === token.kind && 'identity' in now && !now.identity.blocked;
  };

  /** What the handler is given; its signal fires through `end`. */
  const contextOf = async (
    mount: Mount,
    ctx: ApiContext,
    { principal, end, ...rest }: Pick<MountContext, 'principal' | 'allowed' | 'touch'> & { end: AbortController },
  ): Promise<MountContext> => {
    const { language, traceId, log } = ctx.state;
    const kind = bodyKind(ctx);
    if (kind !== 'none' && kind !== 'json') throw wrongType('application/json');
    return {
      principal,
      params: { ...ctx.params },
      body: kind === 'none' ? undefined : await readJson(ctx, mount.maxBodyBytes ?? MAX_JSON_BYTES),
      request: {
        language,
        traceId,
        ip: ctx.ip,
        log: log.child({ tenant: principal.tenantId, account: principal.accountId }),
        signal: end.signal,
        header: (name) => ctx.get(name) || undefined,
      },
      koa: ctx,
      closing: closing.signal,
      ...rest,
    };
  };

  const stream = async (
    ctx: ApiContext,
    answer: EventStream,
    end: AbortController,
    allowed: () => Promise<boolean>,
  ) => {
    streams.add(end);
    end.signal.addEventListener('abort', () => streams.delete(end), { once: true });
    const asItIs = async (_schema: unknown, data: unknown) => data;
    await sendEvents(ctx, answer, end, ctx.state.log, asItIs, allowed);
  };

  const serve = async (mount: Mount, ctx: ApiContext) => {
    const token = await check(ctx);
    const deed = beginDeed({ route: mount.path, action: mount.summary }, token);
    const note = () => noteDeed(mount.audited === false ? undefined : audit, ctx, deed);
    try {
      const caller = 'identity' in token ? token.identity.principal : undefined;
      ctx.set({ ...(await limiter.general('mounts', caller, ctx.ip)) });
      const principal = await admitAnyone(ctx, token, authenticator);
      deed.actor = principal;
      addIds(deed, Object.values(ctx.params));
      const end = watchClient(ctx);
      const allowed = recheck(ctx, token);
      const touch = (...ids: string[]) => addIds(deed, ids);
      const answer = await mount.handler(await contextOf(mount, ctx, { principal, end, allowed, touch }));
      if (answer === 'sent') {
        ctx.respond = false;
      } else if (answer instanceof EventStream) {
        ctx.status = 200;
        note();
        await stream(ctx, answer, end, allowed);
      } else {
        ctx.set({ 'Cache-Control': 'no-store', ...answer.headers });
        ctx.status = answer.status ?? 200;
        ctx.body = answer.body;
      }
    } catch (error) {
      const known = asAppError(ctx, error);
      // A handler that answers by itself had begun: nothing more can be said.
      if (ctx.res.headersSent) ctx.res.destroy();
      else await sendFailure(ctx, mount.failure(known, ctx.state.language), known);
    }
    note();
  };

  const router = new Router({ sensitive: true });
  const known = new Set<string>();
  // What takes every method comes last.
  for (const mount of [...mounts].sort((a, b) => Number(a.method === 'ANY') - Number(b.method === 'ANY'))) {
    const route = `${mount.method} ${mount.path}`;
    if (known.has(route)) throw new Error(`The route ${route} is declared twice`);
    if (/^\/(api|docs|redoc|openapi|healthz|readyz)(\/|$)/.test(mount.path))
      throw new Error(`${route} belongs to the core`);
    known.add(route);
    const handle = (ctx: Context) => serve(mount, ctx as unknown as ApiContext);
    if (mount.method === 'ANY') router.all(mount.path, handle);
    else router.register(mount.path, [mount.method], handle);
  }
  return {
    routes: router.routes(),
    endStreams() {
      closing.abort(CLIENT_GONE);
      for (const end of streams) end.abort(CLIENT_GONE);
    },
  };
}
