import { defineRoute, defineRoutes } from '../../../core/http/route.ts';
import { id, nullable, Type, text, time } from '../../../core/schema.ts';
import type { Account, AccountService, Tokens } from '../public.ts';
import { email, givenPassword, givenToken, identified, login } from './fields.ts';

const account = Type.Object({
  id: id('user'),
  email: Type.String(),
  nickname: nullable(Type.String()),
  created_at: time(),
});
const me = Type.Object({ ...account.properties, avatar: nullable(Type.String()) });
const tokens = Type.Object({
  access_token: Type.String(),
  refresh_token: Type.String(),
  token_type: Type.Literal('bearer'),
  expires_in: Type.Integer({ description: 'seconds' }),
});

const accountView = ({ id, email, nickname, name, username, createdAt }: Account) => ({
  id,
  email,
  nickname: nickname ?? name ?? username ?? null,
  created_at: createdAt,
});
const tokensView = ({ accessToken, refreshToken, expiresIn }: Tokens) => ({
  access_token: accessToken,
  refresh_token: refreshToken,
  token_type: 'bearer',
  expires_in: expiresIn,
});

/** Source: studio document, section 2. */
export const studioRoutes = (accounts: AccountService) =>
  defineRoutes('studio', {
    tag: { zh: '用户', en: 'Users' },
    codes: {
      ACCOUNT_NOT_FOUND: 40001,
      EMAIL_TAKEN: 40002,
      WEAK_PASSWORD: 40003,
      LOGIN_FAILED: 40101,
      REFRESH_INVALID: 40102,
    },
    routes: [
      defineRoute({
        method: 'POST',
        path: '/users/register',
        auth: 'none',
        summary: { zh: '注册账号', en: 'Registers an account' },
        body: Type.Object({
          email: email(),
          // The rule is the service's: breaking it has a code of its own here.
          password: givenPassword(),
          nickname: Type.Optional(nullable(text({ label: { zh: '昵称', en: 'Nickname' }, maxLength: 50 }))),
        }),
        reply: account,
        errors: ['EMAIL_TAKEN', 'WEAK_PASSWORD', 'EMAIL_INVALID', 'REGISTRATION_CLOSED'],
        handler: async ({ body: { email, password, nickname }, request }) => {
          const made = await accounts.register({ email, password, ...(nickname && { nickname }) }, 'strong');
          return accountView(identified(request, made));
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/users/login',
        auth: 'none',
        limit: 'login',
        summary: { zh: '使用邮箱和密码登录', en: 'Logs in with email and password' },
        body: Type.Object({ email: login(), password: givenPassword() }),
        reply: tokens,
        errors: ['LOGIN_FAILED', 'ACCOUNT_BLOCKED'],
        handler: async ({ body: { email, password }, request }) => {
          const { account, ...issued } = await accounts.login('studio', email, password);
          identified(request, account);
          return tokensView(issued);
        },
      }),
      defineRoute({
        method: 'POST',
        path: '/users/refresh',
        auth: 'none',
        summary: {
          zh: '用刷新令牌换取一对新令牌；每个只能使用一次',
          en: 'Changes a refresh token for a new pair of tokens; each can be used once',
        },
        body: Type.Object({ refresh_token: givenToken({ zh: '刷新令牌', en: 'Refresh token' }) }),
        reply: tokens,
        errors: ['REFRESH_INVALID', 'ACCOUNT_NOT_FOUND', 'ACCOUNT_BLOCKED'],
        handler: async ({ body }) => tokensView(await accounts.refresh('studio', body.refresh_token)),
      }),
      defineRoute({
        method: 'GET',
        path: '/users/me',
        auth: 'user',
        summary: { zh: '当前账号', en: 'The caller’s account' },
        reply: me,
        handler: async ({ principal }) => {
          const profile = await accounts.profile(principal);
          return { ...accountView(profile), avatar: profile.avatar ?? null };
        },
      }),
    ],
  });
