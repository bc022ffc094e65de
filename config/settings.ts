import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError } from '../core/errors.ts';
import type { LogLevel } from '../core/log.ts';

/** The environment of one server, validated; nothing else reads environment variables. */
export interface Settings {
  host: string;
  /** 0 = any free port. */
  port: number;
  /** External MongoDB; absent: the embedded store in the data folder. */
  mongodbUri: string | undefined;
  redisUrl: string | undefined;
  dataDir: string;
  manifestPath: string;
  modelsPath: string;
  jwtSecret: string;
  /** Encrypts stored secrets; several, the active one first, after commas. Absent: a key is made in the data folder. */
  secretKey: string | undefined;
  admin: { email: string; password: string } | undefined;
  logLevel: LogLevel;
  /** The whole environment, for the API keys that `config/models.yaml` names. */
  env: Readonly<Record<string, string | undefined>>;
}

const PROJECT_DIR = resolve(import.meta.dirname, '..');
const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

const invalid = (name: string, why: { zh: string; en: string }) =>
  new AppError('invalid', 'SETTING_INVALID', {
    zh: `环境变量 ${name} ${why.zh}`,
    en: `Environment variable ${name} ${why.en}`,
  });

/**
 * Reads the settings from an environment, makes the data folder, and makes the JWT secret once when none is given.
 *
 * @throws {AppError} SETTING_INVALID naming the variable
 */
export function loadSettings(env: Record<string, string | undefined>): Settings {
  const get = (name: string) => env[name]?.trim() || undefined;
  const port = Number(get('PORT') ?? 8037);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw invalid('PORT', { zh: '必须是 0 到 65535 的整数', en: 'must be an integer from 0 to 65535' });
  }
  const logLevel = (get('KOAGENT_LOG_LEVEL') ?? 'info') as LogLevel;
  if (!LOG_LEVELS.includes(logLevel)) {
    throw invalid('KOAGENT_LOG_LEVEL', {
      zh: `必须是 ${LOG_LEVELS.join('、')} 之一`,
      en: `must be one of ${LOG_LEVELS.join(', ')}`,
    });
  }
  const [email, password] = [get('KOAGENT_ADMIN_EMAIL'), get('KOAGENT_ADMIN_PASSWORD')];
  if ((email === undefined) !== (password === undefined)) {
    const missing = email === undefined ? 'KOAGENT_ADMIN_EMAIL' : 'KOAGENT_ADMIN_PASSWORD';
    throw invalid(missing, {
      zh: '缺失：管理员邮箱和密码必须同时给出',
      en: 'is missing: the e-mail address and the password of the administrator go together',
    });
  }
  const jwtSecret = get('KOAGENT_JWT_SECRET');
  if (jwtSecret !== undefined && jwtSecret.length < 32) {
    throw invalid('KOAGENT_JWT_SECRET', { zh: '至少需要 32 个字符', en: 'must have at least 32 characters' });
  }
  const secretKey = get('KOAGENT_SECRET_KEY');
  if (secretKey?.split(',').some((key) => key.trim().length < 32)) {
    throw invalid('KOAGENT_SECRET_KEY', {
      zh: '的每个密钥至少需要 32 个字符',
      en: 'must have at least 32 characters in each key',
    });
  }
  const dataDir = resolve(get('KOAGENT_DATA_DIR') ?? join(PROJECT_DIR, 'data'));
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  return {
    host: get('HOST') ?? '127.0.0.1',
    port,
    mongodbUri: get('MONGODB_URI'),
    redisUrl: get('REDIS_URL'),
    dataDir,
    manifestPath: resolve(get('KOAGENT_MANIFEST') ?? join(PROJECT_DIR, 'config', 'manifest.yaml')),
    modelsPath: join(PROJECT_DIR, 'config', 'models.yaml'),
    jwtSecret: jwtSecret ?? storedSecret(dataDir, 'jwt.secret'),
    secretKey,
    admin: email !== undefined && password !== undefined ? { email, password } : undefined,
    logLevel,
    env,
  };
}

/** A secret of the installation: made once, kept in the data folder, readable by its owner only. */
export function storedSecret(dataDir: string, name: string): string {
  const file = join(dataDir, name);
  try {
    // `wx` makes the first writer win when two commands start on a fresh folder at once.
    writeFileSync(file, randomBytes(48).toString('base64url'), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    chmodSync(file, 0o600);
  }
  return readFileSync(file, 'utf8').trim();
}
