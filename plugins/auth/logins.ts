import { randomUUID } from 'node:crypto';
import type { ContractName } from '../../core/contracts/contract.ts';
import type { Database } from '../../core/data/database.ts';
import type { Principal } from '../../core/principal.ts';
import { refreshInvalid } from './errors.ts';
import { type LoginDocument, loginModel } from './models/login.ts';
import type { LoginApi, Tokens } from './public.ts';
import { createRecent } from './recent.ts';
import type { TokenClaims, TokenSigner } from './tokens.ts';

/** Lifetimes of the tokens of one API, in seconds. */
export interface Lifetimes {
  access: number;
  /** Absent: the API has no refresh. */
  refresh?: number;
  /** Each refresh gives a new refresh token; a used one ends the login. */
  rotate?: boolean;
}

export interface LoginOptions {
  database: Database;
  signer: TokenSigner;
  lifetimes: Readonly<Record<LoginApi, Lifetimes>>;
  cacheMs: number;
  /** Milliseconds since 1970. */
  now: () => number;
}

export interface Logins {
  start(api: LoginApi, accountId: string): Promise<{ tokens: Tokens; loginId: string }>;
  /**
   * @param check called before the refresh token is used up; throws when the account may not go on
   * @throws {AppError} REFRESH_INVALID
   */
  refresh(api: LoginApi, token: string, check: (accountId: string) => Promise<void>): Promise<Tokens>;
  end(loginId: string): Promise<boolean>;
  /** Ends all logins of an account but one, and takes that one's refresh token. Operator tokens stay. */
  endOthers(principal: Principal): Promise<void>;
  /** Whether the tokens of this login count. */
  isOpen(loginId: string, accountId: string): Promise<boolean>;
  /** A token for an integration: for several APIs, tenants and days. */
  startOperator(options: OperatorToken): Promise<{ loginId: string; token: string }>;
  listOperator(): Promise<LoginDocument[]>;
}

export interface OperatorToken {
  accountId: string;
  audience: ContractName[];
  tenants?: string[];
  days: number;
  note?: string;
}

export function createLogins({ database, signer, lifetimes, cacheMs, now }: LoginOptions): Logins {
  const logins = loginModel(database);
  const known = createRecent({ ttlMs: cacheMs, size: 50_000, load: (id) => logins.get(id), now });
  const inSeconds = (seconds: number) => new Date(now() + seconds * 1000);

  const end = async (loginId: string) => {
    const ended = await logins.update(
      { _id: loginId, revokedAt: { $exists: false } },
      { $set: { revokedAt: new Date(now()) }, $unset: { refreshId: '' } },
    );
    known.forget(loginId);
    return ended !== undefined;
  };

  const tokensOf = (api: LoginApi, accountId: string, loginId: string, refreshId: string | undefined): Tokens => {
    const { access, refresh } = lifetimes[api];
    const claims = { accountId, loginId, audience: [api] };
    return {
      accessToken: signer.sign({ ...claims, type: 'access' }, access),
      expiresIn: access,
      ...(refresh !== undefined &&
        refreshId !== undefined && {
          refreshToken: signer.sign({ ...claims, type: 'refresh', tokenId: refreshId }, refresh),
        }),
    };
  };

  const rotate = async (api: LoginApi, claims: TokenClaims): Promise<Tokens> => {
    const { access, refresh = 0 } = lifetimes[api];
    const refreshId = randomUUID();
    // One atomic step: of two uses of the same token at once only one finds it.
    const changed = await logins.update(
      { _id: claims.loginId, accountId: claims.accountId, refreshId: claims.tokenId, revokedAt: { $exists: false } },
      { $set: { refreshId, expiresAt: inSeconds(refresh + access) } },
    );
    if (changed) return tokensOf(api, claims.accountId, claims.loginId, refreshId);
    const login = await logins.get(claims.loginId);
    // A used token came again: it was stolen, or its new one was. Neither side may go on.
    if (login?.refreshId !== undefined) await end(claims.loginId);
    throw refreshInvalid();
  };

  return {
    end,

    async start(api, accountId) {
      const { access, refresh } = lifetimes[api];
      const refreshId = refresh === undefined ? undefined : randomUUID();
      const login = await logins.insert({
        accountId,
        audience: [api],
        kind: 'user',
        ...(refreshId !== undefined && { refreshId }),
        expiresAt: inSeconds(access + (refresh ?? 0)),
      });
      return { tokens: tokensOf(api, accountId, login._id, refreshId), loginId: login._id };
    },

    async refresh(api, token, check) {
      const claims = signer.verify(token, 'refresh');
      // The audience ties the token to the API that gave it out.
      if (claims?.audience.length !== 1 || claims.audience[0] !== api) throw refreshInvalid();
      await check(claims.accountId);
      if (lifetimes[api].rotate) return rotate(api, claims);
      const login = await logins.get(claims.loginId);
      const counts = login?.accountId === claims.accountId && login.refreshId === claims.tokenId && !login.revokedAt;
      if (!counts) throw refreshInvalid();
      return tokensOf(api, claims.accountId, claims.loginId, undefined);
    },

    async endOthers({ accountId, loginId = '' }) {
      for await (const { _id } of logins.iterate({ accountId, kind: 'user' }, { fields: ['_id'] })) {
        if (_id !== loginId) await end(_id);
      }
      await logins.update({ _id: loginId }, { $unset: { refreshId: '' } });
    },

    async isOpen(loginId, accountId) {
      const login = await known.get(loginId);
      return login !== undefined && login.accountId === accountId && !login.revokedAt;
    },

    async startOperator({ accountId, audience, tenants, days, note }) {
      const seconds = Math.round(days * 86_400);
      const { _id: loginId } = await logins.insert({
        accountId,
        audience,
        kind: 'operator',
        ...(note !== undefined && { note }),
        expiresAt: inSeconds(seconds),
      });
      const claims = { type: 'access' as const, accountId, loginId, audience, ...(tenants && { tenants }) };
      return { loginId, token: signer.sign(claims, seconds) };
    },

    listOperator: () =>
      logins.find({ kind: 'operator', revokedAt: { $exists: false } }, { sort: { createdAt: 1 }, limit: 1000 }),
  };
}
