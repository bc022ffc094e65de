import { randomUUID } from 'node:crypto';
import { accountBlocked, adminRequired } from '../../core/auth.ts';
import type { Filter } from '../../core/data/database.ts';
import { isDuplicate } from '../../core/data/errors.ts';
import { containsText } from '../../core/data/text.ts';
import type { Principal, Role } from '../../core/principal.ts';
import * as errors from './errors.ts';
import type { Logins } from './logins.ts';
import { type AccountDocument, type Accounts, toAccount } from './models/account.ts';
import { emailKey, requireEmailKey, requireUsernameKey, usernameKey } from './names.ts';
import { checkPassword, type Passwords } from './passwords.ts';
import type { Account, AccountService, Registration, UsageCounter, UsageName } from './public.ts';
import type { Recent } from './recent.ts';
import type { Tenants } from './tenants.ts';

export interface AccountServiceOptions {
  accounts: Accounts;
  /** The same documents, kept for a short time; told of every change. */
  recent: Recent<AccountDocument | undefined>;
  passwords: Passwords;
  logins: Logins;
  tenants: Tenants;
  trialDays: number;
  kbQuota: number;
  openRegistration: boolean;
  /** Milliseconds since 1970. */
  now: () => number;
}

export interface AccountServiceParts extends AccountService {
  /**
   * Makes the configured administrator, or brings its account up to date: role, status and password are as configured afterwards.
   * Whoever registered the address before does not become an administrator.
   */
  ensureAdmin(admin: { email: string; password: string }): Promise<'kept' | 'made' | 'updated'>;
  findByEmail(email: string): Promise<Account | undefined>;
}

const DAY_MS = 86_400_000;

export function createAccountService(options: AccountServiceOptions): AccountServiceParts {
  const { accounts, recent, passwords, logins, tenants, now } = options;
  const counters = new Map<UsageName, UsageCounter>();

  const create = async (registration: Registration, role: Role): Promise<Account> => {
    const { email, username, nickname, name, password } = registration;
    const keyOfEmail = requireEmailKey(email);
    const id = randomUUID();
    const keyOfUsername = username === undefined ? `@${id}` : requireUsernameKey(username);
    // Spares the hashing; what decides are the unique indexes.
    if (await accounts.findOne({ emailKey: keyOfEmail })) throw errors.emailTaken();
    if (await accounts.findOne({ usernameKey: keyOfUsername })) throw errors.usernameTaken();
    const passwordHash = await passwords.hash(password);
    const homeTenantId = `account-${id}`;
    // First, so that there is never an account whose tenant is still anybody's.
    await tenants.registerHome(homeTenantId, id);
    try {
      const made = await accounts.insert({
        _id: id,
        email,
        emailKey: keyOfEmail,
        ...(username !== undefined && { username }),
        usernameKey: keyOfUsername,
        ...(nickname !== undefined && { nickname }),
        ...(name !== undefined && { name }),
        passwordHash,
        role,
        status: 'active',
        homeTenantId,
        trialEndsAt: new Date(now() + options.trialDays * DAY_MS),
      });
      return toAccount(made);
    } catch (error) {
      await tenants.removeHome(homeTenantId, id);
      if (isDuplicate(error, 'emailKey')) throw errors.emailTaken();
      if (isDuplicate(error, 'usernameKey')) throw errors.usernameTaken();
      throw error;
    }
  };

  const change = async (filter: Filter<AccountDocument>, fields: object): Promise<AccountDocument | undefined> => {
    const changed = await accounts.update(filter, fields);
    if (changed) recent.forget(changed._id);
    return changed;
  };

  const own = async (principal: Principal): Promise<AccountDocument> => {
    const found = principal.kind === 'user' ? await accounts.get(principal.accountId) : undefined;
    if (!found) throw errors.accountNotFound();
    return found;
  };

  const requireAdmin = (principal: Principal) => {
    if (principal.kind !== 'system' && !principal.roles.includes('admin')) throw adminRequired();
  };

  const findLogin = (login: string) => {
    const email = emailKey(login.trim());
    return accounts.findOne(email === undefined ? { usernameKey: usernameKey(login.trim()) } : { emailKey: email });
  };

  const service: AccountServiceParts = {
    async register(registration, rule) {
      if (!options.openRegistration) throw errors.registrationClosed();
      checkPassword(registration.password, rule);
      return create(registration, 'user');
    },

    async login(api, login, password) {
      const found = await findLogin(login);
      if (!(await passwords.verify(found?.passwordHash, password)) || !found) throw errors.loginFailed();
      // After the password, so that nobody learns from the answer who is blocked.
      if (found.status !== 'active') throw accountBlocked();
      const { tokens, loginId } = await logins.start(api, found._id);
      const { _id, passwordHash } = found;
      const changed = await change({ _id, passwordHash }, { $set: { lastLoginAt: new Date(now()) } });
      if (!changed) {
        // The password was changed meanwhile, and this login was too late to be among those that it ended.
        await logins.end(loginId);
        throw errors.loginFailed();
      }
      return { ...tokens, account: toAccount(changed) };
    },

    refresh: (api, refreshToken) =>
      logins.refresh(api, refreshToken, async (accountId) => {
        const account = await recent.get(accountId);
        if (!account) throw errors.accountNotFound();
        if (account.status !== 'active') throw accountBlocked();
      }),

    async logout({ loginId }) {
      if (loginId !== undefined) await logins.end(loginId);
    },

    async profile(principal) {
      const account = toAccount(await own(principal));
      const used = await service.usage('knowledgeBases', [account.id]);
      return {
        ...account,
        isTrial: account.trialEndsAt.getTime() > now(),
        kbQuota: options.kbQuota,
        kbUsed: used.get(account.id) ?? 0,
      };
    },

    async updateProfile(principal, { name, avatar }) {
      if (name === undefined && avatar === undefined) throw errors.profileEmpty();
      if (typeof avatar === 'string' && !isWebAddress(avatar)) throw errors.avatarInvalid();
      const { _id } = await own(principal);
      const set = { ...(name !== undefined && { name }), ...(typeof avatar === 'string' && { avatar }) };
      const changed = await change({ _id }, { $set: set, ...(avatar === null && { $unset: { avatar: '' } }) });
      if (!changed) throw errors.accountNotFound();
      return toAccount(changed);
    },

    async changePassword(principal, oldPassword, newPassword) {
      const { _id, passwordHash } = await own(principal);
      if (!(await passwords.verify(passwordHash, oldPassword))) throw errors.passwordWrong();
      if (newPassword === oldPassword) throw errors.passwordUnchanged();
      checkPassword(newPassword, 'mixed', 'newPassword');
      // With the old hash in the filter, of two changes at once the second one finds its old password wrong.
      const next = await passwords.hash(newPassword);
      if (!(await change({ _id, passwordHash }, { $set: { passwordHash: next } }))) throw errors.passwordWrong();
      await logins.endOthers(principal);
    },

    async list(principal, { status, keyword, offset, limit, sortBy = 'createdAt', sortOrder = 'desc' }) {
      requireAdmin(principal);
      const text = keyword?.trim() ? containsText(keyword.trim()) : undefined;
      const filter: Filter<AccountDocument> = {
        ...(status && { status }),
        ...(text && { $or: [{ email: text }, { name: text }, { nickname: text }, { username: text }] }),
      };
      const sort = { [sortBy]: sortOrder === 'asc' ? 1 : -1, _id: 1 } as const;
      const [items, total] = await Promise.all([
        accounts.find(filter, { sort, skip: offset, limit }),
        accounts.count(filter),
      ]);
      return { items: items.map(toAccount), total };
    },

    async setStatus(principal, accountId, status) {
      requireAdmin(principal);
      if (accountId === principal.accountId) throw errors.ownAccount();
      const changed = await change({ _id: accountId }, { $set: { status } });
      if (!changed) throw errors.accountNotFound();
      return toAccount(changed);
    },

    async statistics(principal) {
      requireAdmin(principal);
      const today = new Date(Math.floor(now() / DAY_MS) * DAY_MS);
      const [total, active, newToday, new7Days] = await Promise.all([
        accounts.count({}),
        accounts.count({ status: 'active' }),
        accounts.count({ createdAt: { $gte: today } }),
        accounts.count({ createdAt: { $gte: new Date(now() - 7 * DAY_MS) } }),
      ]);
      return { total, active, newToday, new7Days };
    },

    async addTenantMember(principal, tenantId, accountId) {
      if (!(await accounts.get(accountId))) throw errors.accountNotFound();
      await tenants.addMember(principal, tenantId, accountId);
    },
    removeTenantMember: (principal, tenantId, accountId) => tenants.removeMember(principal, tenantId, accountId),

    countUsage(name, counter) {
      counters.set(name, counter);
      return () => {
        if (counters.get(name) === counter) counters.delete(name);
      };
    },
    usage: async (name, accountIds) => (await counters.get(name)?.(accountIds)) ?? new Map(),

    async findByEmail(email) {
      const found = await findLogin(email);
      return found && toAccount(found);
    },

    async ensureAdmin({ email, password }) {
      checkPassword(password, 'strong');
      const found = await accounts.findOne({ emailKey: requireEmailKey(email) });
      if (!found) {
        await create({ email, password }, 'admin');
        return 'made';
      }
      const samePassword = await passwords.verify(found.passwordHash, password);
      if (samePassword && found.role === 'admin' && found.status === 'active') return 'kept';
      const passwordHash = samePassword ? found.passwordHash : await passwords.hash(password);
      await change({ _id: found._id }, { $set: { role: 'admin', status: 'active', passwordHash } });
      await logins.endOthers({ kind: 'user', accountId: found._id, tenantId: found.homeTenantId, roles: [] });
      return 'updated';
    },
  };
  return service;
}

function isWebAddress(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'http:' || url?.protocol === 'https:';
}
