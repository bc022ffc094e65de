import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { id, oneOf, Type, text, time } from '../../../core/schema.ts';
import type { Account, AccountService } from '../public.ts';
import { email, givenPassword, identified, login, newPassword } from './fields.ts';

const USERNAME = { zh: '用户名', en: 'User name' };

const me = Type.Object({
  id: id('user'),
  username: Type.String(),
  email: Type.String(),
  role: oneOf(['user', 'admin']),
});

/** An account from another API may have no user name; its address logs it in here too. */
const view = ({ id, username, email, role, createdAt }: Account) => ({
  id,
  username: username ?? email,
  email,
  role,
  created_at: createdAt,
});

/** Source: low-code document, section on authentication. */
export const lowcodeRoutes = (accounts: AccountService) =>
  defineRoutes('lowcode', {
    tag: { zh: '认证', en: 'Authentication' },
    codes: { EMAIL_TAKEN: 'EMAIL_EXISTS', USERNAME_TAKEN: 'USERNAME_EXISTS' },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/auth/register',
        auth: 'none',
        status: 201,
        summary: { zh: '注册账号', en: 'Registers an account' },
        body: Type.Object({
          username: text({ label: USERNAME, minLength: 3, maxLength: 50, pattern: '^[^\\s@]+$' }),
          email: email(),
          password: newPassword(6),
        }),
        reply: Type.Object({ ...me.properties, created_at: time() }),
        errors: ['EMAIL_TAKEN', 'USERNAME_TAKEN', 'EMAIL_INVALID', 'USERNAME_INVALID', 'REGISTRATION_CLOSED'],
        handler: async ({ body, request }) => view(identified(request, await accounts.register(body, 'short'))),
      }),
      defineRoute({
        method: 'POST',
        path: '/auth/login',
        auth: 'none',
        limit: 'login',
        bodyType: 'form',
        summary: {
          zh: '使用用户名（或邮箱）和密码登录（OAuth2 密码表单）',
          en: 'Logs in with user name (or email) and password, as an OAuth2 password form',
        },
        body: Type.Object({ username: login(USERNAME), password: givenPassword() }),
        reply: Type.Object({ access_token: Type.String(), token_type: Type.Literal('bearer') }),
        errors: ['LOGIN_FAILED', 'ACCOUNT_BLOCKED'],
        handler: async ({ body: { username, password }, request }) => {
          const { accessToken, account } = await accounts.login('lowcode', username, password);
          identified(request, account);
          return { access_token: accessToken, token_type: 'bearer' };
        },
      }),
      defineRoute({
        method: 'GET',
        path: '/auth/me',
        auth: 'user',
        summary: { zh: '当前账号', en: 'The caller’s account' },
        reply: me,
        handler: async ({ principal }) => view(await accounts.profile(principal)),
      }),
    ],
  });
