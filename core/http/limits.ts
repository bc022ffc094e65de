import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import type { ContractName } from '../contracts/contract.ts';
import { AppError } from '../errors.ts';
import type { Principal } from '../principal.ts';
import { type Static, Type } from '../schema.ts';

const perMinute = (count: number, description: string) =>
  Type.Integer({ minimum: 1, maximum: 10_000_000, default: count, description: `${description}, a minute` });

const contractLimits = (user: number, admin: number, login: number) =>
  Type.Object(
    {
      user: perMinute(user, 'requests of one caller'),
      admin: perMinute(admin, 'requests of one administrator'),
      anonymous: perMinute(1200, 'requests without a caller from one address'),
      login: perMinute(login, 'logins of one address and account'),
    },
    { default: {} },
  );

/** Section `http.limits` of the manifest; `mounts` is for what lies outside `/api/v1`. */
export const limitsSchema = Type.Object(
  {
    reports: contractLimits(1200, 1200, 60),
    studio: contractLimits(1200, 1200, 60),
    tasks: contractLimits(1200, 1200, 60),
    research: contractLimits(100, 500, 5),
    lowcode: contractLimits(1200, 1200, 60),
    mounts: contractLimits(1200, 1200, 60),
  },
  { default: {} },
);
export type Limits = Static<typeof limitsSchema>;

export interface RateHeaders {
  'X-RateLimit-Limit': string;
  'X-RateLimit-Remaining': string;
  /** Unix seconds at which the window ends. */
  'X-RateLimit-Reset': string;
}

export interface RateLimiter {
  /**
   * Counts one request of a caller, or of an address where there is no caller.
   *
   * @throws {AppError} RATE_LIMITED with `retryAfter`; its `details.headers` are the rate headers
   */
  general(contract: ContractName | 'mounts', principal: Principal | undefined, ip: string): Promise<RateHeaders>;
  /** Counts one login attempt for an address and the account name that it tries. */
  login(contract: ContractName, ip: string, account: string): Promise<RateHeaders>;
}

/** Limits in this process; windows start with a caller's first request and last a minute. */
export function createRateLimiter(limits: Limits): RateLimiter {
  const limiters = new Map<string, RateLimiterMemory>();
  const take = async (name: string, points: number, key: string): Promise<RateHeaders> => {
    const limiter = limiters.get(name) ?? new RateLimiterMemory({ keyPrefix: name, points, duration: 60 });
    limiters.set(name, limiter);
    try {
      return headers(points, await limiter.consume(key));
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      throw new AppError(
        'rate_limited',
        'RATE_LIMITED',
        { zh: '请求过于频繁，请稍后再试', en: 'Too many requests, try again later' },
        { retryAfter: Math.max(1, Math.ceil(error.msBeforeNext / 1000)), details: { headers: headers(points, error) } },
      );
    }
  };
  return {
    general(contract, principal, ip) {
      const role = principal === undefined ? 'anonymous' : principal.roles.includes('admin') ? 'admin' : 'user';
      return take(`${contract}:${role}`, limits[contract][role], principal?.accountId ?? `ip:${ip}`);
    },
    login: (contract, ip, account) =>
      // Accounts are found whatever form their letters have, so all forms share one count.
      take(`${contract}:login`, limits[contract].login, `${ip} ${account.normalize('NFKC').trim().toLowerCase()}`),
  };
}

const headers = (points: number, state: RateLimiterRes): RateHeaders => ({
  'X-RateLimit-Limit': String(points),
  'X-RateLimit-Remaining': String(Math.max(0, state.remainingPoints)),
  'X-RateLimit-Reset': String(Math.ceil((Date.now() + state.msBeforeNext) / 1000)),
});
