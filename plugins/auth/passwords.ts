import { hash, verify } from '@node-rs/argon2';
import { loginBusy, weakPassword } from './errors.ts';
import type { PasswordRule } from './public.ts';

/** argon2id. The package's enum cannot be imported as a value; 2 is Argon2id. OWASP's first choice for 19 MiB. */
const ARGON2 = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Hashing takes a thread of libuv's pool of four for tens of milliseconds; files and name look-ups need them too. */
const MAX_RUNNING = 2;
const MAX_WAITING = 200;

const RULES: Readonly<Record<PasswordRule, { min: number; mixed: boolean }>> = {
  strong: { min: 8, mixed: true },
  mixed: { min: 6, mixed: true },
  short: { min: 6, mixed: false },
};
const MAX_LENGTH = 128;

/**
 * @param field how the request calls the password
 * @throws {AppError} WEAK_PASSWORD naming the field
 */
export function checkPassword(password: string, rule: PasswordRule, field = 'password'): void {
  const { min, mixed } = RULES[rule];
  const length = [...password].length;
  if (length < min) {
    throw weakPassword(field, {
      zh: `密码不能少于 ${min} 个字符`,
      en: `The password needs at least ${min} characters`,
    });
  }
  if (length > MAX_LENGTH) {
    throw weakPassword(field, {
      zh: `密码不能超过 ${MAX_LENGTH} 个字符`,
      en: `The password must not exceed ${MAX_LENGTH} characters`,
    });
  }
  if (mixed && !(/\p{LC}/u.test(password) && /\d/.test(password))) {
    throw weakPassword(field, {
      zh: '密码必须同时包含字母和数字',
      en: 'The password needs at least one letter and one digit',
    });
  }
}

export interface Passwords {
  hash(password: string): Promise<string>;
  /** Without a stored hash it takes as long and is false, so that time does not tell whether an account exists. */
  verify(stored: string | undefined, password: string): Promise<boolean>;
}

/** @throws {AppError} LOGIN_BUSY from both methods when too many are waiting */
export function createPasswords(): Passwords {
  const limited = limit();
  const make = (password: string) => limited(() => hash(password.normalize('NFKC'), ARGON2));
  let dummy: Promise<string> | undefined;
  return {
    hash: make,
    async verify(stored, password) {
      dummy ??= make('no account has this password');
      const against = stored ?? (await dummy);
      const right = await limited(() => verify(against, password.normalize('NFKC')));
      return right && stored !== undefined;
    },
  };
}

function limit(): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= MAX_RUNNING) {
      if (waiting.length >= MAX_WAITING) throw loginBusy();
      // The one that ends hands its place over, so `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
