import { domainToASCII } from 'node:url';
import { emailInvalid, usernameInvalid } from './errors.ts';

/**
 * Enough for a form; what is right is decided below. Also in schemas, so that clients see it in the documents. Each sign can be matched in
 * one way only: text of any length is decided in one pass.
 */
export const EMAIL_PATTERN = '^[^\\s@]+@[^\\s@.]+(?:\\.[^\\s@.]+)+$';
export const MAX_EMAIL = 254;

const LOCAL_PART = /^[\p{L}\p{M}\p{N}.!#$%&'*+/=?^_`{|}~-]{1,64}$/u;
const DOMAIN = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+(?!\d+$)[a-z0-9-]{2,63}$/;

/**
 * The form in which addresses are compared: lower case, the domain in its ASCII form (`例子.中国` is `xn--fsqu00a.xn--fiqs8s`).
 *
 * @returns undefined when it is no address
 */
export function emailKey(email: string): string | undefined {
  const at = email.lastIndexOf('@');
  const local = email.slice(0, at).normalize('NFKC');
  const given = email.slice(at + 1);
  // Checked before: the conversion drops line ends and decodes percent signs.
  const domain = /^[\p{L}\p{M}\p{N}.-]+$/u.test(given) ? domainToASCII(given).toLowerCase() : '';
  const wrongDots = local.startsWith('.') || local.endsWith('.') || local.includes('..');
  if (at < 1 || email.length > MAX_EMAIL || wrongDots || !LOCAL_PART.test(local) || !DOMAIN.test(domain))
    return undefined;
  return `${local.toLowerCase()}@${domain}`;
}

/** @throws {AppError} EMAIL_INVALID */
export function requireEmailKey(email: string): string {
  const key = emailKey(email);
  if (key === undefined) throw emailInvalid();
  return key;
}

/**
 * The form in which user names are compared. A name with `@` would be taken for somebody's address at login, so it is refused
 * in every spelling that normalises to one.
 *
 * @throws {AppError} USERNAME_INVALID
 */
export function requireUsernameKey(username: string): string {
  const key = usernameKey(username);
  const length = [...key].length;
  if (length < 3 || length > 50 || !/^[\p{L}\p{M}\p{N}\p{P}\p{S}]+$/u.test(key) || key.includes('@')) {
    throw usernameInvalid();
  }
  return key;
}

export const usernameKey = (username: string) => username.normalize('NFKC').toLowerCase();
