import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { id, nullable, oneOf, Type, text, time } from '../../../core/schema.ts';
import { ACCOUNT_STATUS, type AccountService } from '../public.ts';
import { email, givenPassword, givenToken, identified, login, newPassword } from './fields.ts';

const OLD_PASSWORD = { zh: '旧密码', en: 'Old password' };
const NEW_PASSWORD = { zh: '新密码', en: 'New password' };
const name = () => text({ label: { zh: '姓名', en: 'Name' }, minLength: 1, maxLength: 50 });
const role = () => oneOf(['user', 'admin']);

const tokens = { accessToken: Type.String(), expiresIn: Type.Integer({ description: 'seconds' }) };

/** Source: research document, sections 1 and 2. */
export const researchRoutes = (accounts: AccountService) =>
  defineRoutes('research', {
    tag: { zh: '认证与用户', en: 'Accounts' },
    codes: {
      EMAIL_TAKEN: 'CONFLICT',
      LOGIN_FAILED: 'UNAUTHORIZED',
      REFRESH_INVALID: 'UNAUTHORIZED',
      ACCOUNT_BLOCKED: 'FORBIDDEN',
      ACCOUNT_NOT_FOUND: 'NOT_FOUND',
    },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/auth/register',
        auth: 'none',
        status: 201,
        summary: { zh: '注册账号', en: 'Registers an account' },
        body: Type.Object({ email: email(), password: newPassword(8), name: name() }),
        reply: Type.Object({ userId: id('user'), email: Type.String(), message: Type.String() }),
        errors: ['EMAIL_TAKEN', 'WEAK_PASSWORD', 'EMAIL_INVALID', 'REGISTRATION_CLOSED'],
        handler: async ({ body, request }) => {
          const account = identified(request, await accounts.register(body, 'strong'));
          const message = request.language === 'zh' ? '注册成功，请登录' : 'Registered, please log in';
          return { userId: account.id, email: account.email, message };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/auth/login',
        auth: 'none',
        limit: 'login',
        summary: { zh: '使用邮箱和密码登录', en: 'Logs in with email and password' },
        body: Type.Object({ email: login(), password: givenPassword() }),
        reply: Type.Object({
          ...tokens,
          refreshToken: Type.String(),
          user: Type.Object({ id: id('user'), email: Type.String(), name: Type.String(), role: role() }),
        }),
        errors: ['LOGIN_FAILED', 'ACCOUNT_BLOCKED'],
        handler: async ({ body, request }) => {
          const { account, ...issued } = await accounts.login('research', body.email, body.password);
          const { id, email, displayName, role } = identified(request, account);
          return { ...issued, user: { id, email, name: displayName, role } };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/auth/refresh',
        auth: 'none',
        summary: {
          zh: '用刷新令牌换取新的访问令牌，刷新令牌继续有效',
          en: 'A new access token for a refresh token, which stays valid',
        },
        body: Type.Object({ refreshToken: givenToken({ zh: '刷新令牌', en: 'Refresh token' }) }),
        reply: Type.Object(tokens),
        errors: ['REFRESH_INVALID', 'ACCOUNT_BLOCKED'],
        handler: ({ body }) => accounts.refresh('research', body.refreshToken),
      }),
      defineRoute({
        method: 'POST',
        path: '/auth/logout',
        auth: 'user',
        status: 204,
        summary: {
          zh: '退出登录：其访问令牌和刷新令牌立即失效',
          en: 'Ends the login: its access and refresh tokens are refused from now on',
        },
        handler: ({ principal }) => accounts.logout(principal),
      }),
      defineRoute({
        method: 'GET',
        path: '/users/me',
        auth: 'user',
        summary: { zh: '当前账号', en: 'The caller’s account' },
        reply: Type.Object({
          id: id('user'),
          email: Type.String(),
          name: Type.String(),
          role: role(),
          status: oneOf(ACCOUNT_STATUS),
          avatarUrl: nullable(Type.String()),
          kbQuota: Type.Integer({ description: 'knowledge bases that the account may have' }),
          kbUsed: Type.Integer(),
          isTrial: Type.Boolean(),
          trialEndsAt: time(),
          createdAt: time(),
        }),
        handler: async ({ principal }) => {
          const { displayName, avatar, ...profile } = await accounts.profile(principal);
          return { ...profile, name: displayName, avatarUrl: avatar ?? null };
        },
      }),
      defineRoute({
        method: 'PATCH',
        path: '/users/me',
        auth: 'user',
        summary: { zh: '修改姓名或头像', en: 'Changes name or picture' },
        body: Type.Object({
          name: Type.Optional(name()),
          avatarUrl: Type.Optional(
            nullable(text({ label: { zh: '头像地址', en: 'Picture address' }, maxLength: 2048 })),
          ),
        }),
        reply: Type.Object({ id: id('user'), name: Type.String(), avatarUrl: nullable(Type.String()) }),
        errors: ['PROFILE_EMPTY', 'AVATAR_INVALID'],
        handler: async ({ principal, body: { name, avatarUrl } }) => {
          const changes = {
            ...(name !== undefined && { name }),
            ...(avatarUrl !== undefined && { avatar: avatarUrl }),
          };
          const { id, displayName, avatar } = await accounts.updateProfile(principal, changes);
          return { id, name: displayName, avatarUrl: avatar ?? null };
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/users/me/change-password',
        auth: 'user',
        summary: {
          zh: '修改密码；其他登录和所有刷新令牌随之失效',
          en: 'Changes the password; other logins and all refresh tokens end',
        },
        body: Type.Object({ oldPassword: givenPassword(OLD_PASSWORD), newPassword: newPassword(6, NEW_PASSWORD) }),
        message: { zh: '密码修改成功', en: 'The password was changed' },
        errors: ['PASSWORD_WRONG', 'PASSWORD_UNCHANGED', 'WEAK_PASSWORD'],
        handler: ({ principal, body }) => accounts.changePassword(principal, body.oldPassword, body.newPassword),
      }),
    ],
  });
