import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

const MIN_SECRET = 32;
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
  if (jwtSecret !== undefined && jwtSecret.length < MIN_SECRET) {
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
  return {
    host: get('HOST') ?? '127.0.0.1',
    port,
    mongodbUri: get('MONGODB_URI'),
    redisUrl: get('REDIS_URL'),
    dataDir,
    manifestPath: resolve(get('KOAGENT_MANIFEST') ?? join(PROJECT_DIR, 'config', 'manifest.yaml')),
    modelsPath: join(PROJECT_DIR, 'config', 'models.yaml'),
    jwtSecret: inDataFolder(dataDir, () => jwtSecret ?? storedSecret(dataDir, 'jwt.secret')),
    secretKey,
    admin: email !== undefined && password !== undefined ? { email, password } : undefined,
    logLevel,
    env,
  };
}

/** Makes the data folder and works in it; what the system refuses is told with the variable that names the folder. */
function inDataFolder<T>(dataDir: string, work: () => T): T {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    return work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof AppError || code === undefined) throw error;
    throw invalid('KOAGENT_DATA_DIR', {
      zh: `指向的文件夹 ${dataDir} 无法使用（${code}）`,
      en: `names a folder that cannot be used: ${dataDir} (${code})`,
    });
  }
}

/**
 * A secret of the installation: made once, kept in the data folder, readable by its owner only.
 *
 * @throws {AppError} SECRET_INVALID when the file holds less than a secret
 */
export function storedSecret(dataDir: string, name: string): string {
  const file = join(dataDir, name);
  if (!existsSync(file)) {
    // Written whole before it has its name: a crash leaves no empty secret, and of two commands the first one wins.
    const draft = join(dataDir, `${name}.${process.pid}`);
    writeFileSync(draft, randomBytes(48).toString('base64url'), { mode: 0o600, flush: true });
    try {
      linkSync(draft, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(draft);
    }
  }
  chmodSync(file, 0o600);
  const secret = readFileSync(file, 'utf8').trim();
  if (secret.length < MIN_SECRET) {
    throw new AppError('invalid', 'SECRET_INVALID', {
      zh: `密钥文件 ${file} 少于 ${MIN_SECRET} 个字符；请恢复它，或删除它以生成新的密钥（所有登录随之失效）`,
      en: `The secret in ${file} has less than ${MIN_SECRET} characters; restore it, or delete it to have a new one made (all logins end then)`,
    });
  }
  return secret;
}
