import type { RequestInfo } from '../../../core/http/route.ts';
import { Type, text } from '../../../core/schema.ts';
import { EMAIL_PATTERN, MAX_EMAIL } from '../names.ts';
import type { Account } from '../public.ts';

const EMAIL = { zh: '邮箱', en: 'Email address' };
const PASSWORD = { zh: '密码', en: 'Password' };

/** Fields that the registrations and logins of several APIs have in common. */
export const email = () => text({ label: EMAIL, minLength: 1, maxLength: MAX_EMAIL, pattern: EMAIL_PATTERN });

/** An address or name to log in with: what is wrong with it shows as a failed login. */
export const login = (label = EMAIL) => text({ label, minLength: 1, maxLength: MAX_EMAIL });

/** A password is never trimmed. */
export const newPassword = (minLength: number, label = PASSWORD) => Type.String({ label, minLength, maxLength: 128 });

/** Longer than any that was ever accepted, short enough to be hashed. */
export const givenPassword = (label = PASSWORD) => Type.String({ label, minLength: 1, maxLength: 1024 });

export const givenToken = (label: { zh: string; en: string }) => Type.String({ label, minLength: 1, maxLength: 8192 });

/** Whose account a request without a caller was about, for the audit log. */
export function identified<T extends Account>(request: RequestInfo, account: T): T {
  request.identify({ accountId: account.id, tenantId: account.homeTenantId });
  return account;
}
