import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from './errors.ts';
import { defineService } from './service.ts';

/**
 * Encrypts secrets at rest with AES-256-GCM. A sealed value reads `v1.<key id>.<nonce, tag and cipher text in base64url>`.
 *
 * What is sealed is bound to a place: its tenant and the id of the object that holds it. Copied elsewhere it does not open.
 */
export interface Vault {
  /** Encrypts with the active key. */
  seal(text: string, place: SealedPlace): string;
  /** @throws {AppError} VAULT_KEY_MISSING, VAULT_VALUE_BROKEN (also for another place) */
  open(sealed: string, place: SealedPlace): string;
  /** Whether a value was sealed with another key than the active one. */
  isStale(sealed: string): boolean;
}

export interface SealedPlace {
  tenantId: string;
  objectId: string;
}

export const vaultService = defineService<Vault>('vault');

/** Keys by id; the active one seals. In the data folder as `secret.keys`, readable by its owner only. */
interface KeyRing {
  active: string;
  /** Base64. */
  keys: Record<string, string>;
}

const FILE = 'secret.keys';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export interface VaultOptions {
  dataDir: string;
  /**
   * Keys of the environment, the active one first, others after commas (they only open); each at least 32 characters. Absent: a key
   * is made once in the data folder. Keys of the folder go on opening what they sealed.
   */
  secretKey?: string | undefined;
}

/** @throws {AppError} VAULT_KEYS_UNREADABLE */
export function createVault({ dataDir, secretKey }: VaultOptions): Vault {
  const given = (secretKey ?? '').split(',').flatMap((text) => text.trim() || []);
  const fixed = new Map(given.map((text) => deriveKey(Buffer.from(text))).map((key) => [key.id, key.bytes]));
  const [fixedActive] = fixed.keys();
  const ring = fixedActive === undefined ? ringOnDisk(dataDir, ensureRing) : ringOnDisk(dataDir, readRing);

  const keyOf = (id: string): Buffer => {
    const key = fixed.get(id) ?? ring().keys.get(id);
    if (key === undefined) throw keyMissing(id);
    return key;
  };
  const activeId = () => {
    const id = fixedActive ?? ring().active;
    if (id === undefined) throw keyMissing('active');
    return id;
  };

  return {
    seal(text, place) {
      const id = activeId();
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', keyOf(id), nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(boundTo(id, place));
      const content = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return `v1.${id}.${Buffer.concat([nonce, cipher.getAuthTag(), content]).toString('base64url')}`;
    },

    open(sealed, place) {
      const [version, id = '', data = ''] = sealed.split('.');
      const bytes = Buffer.from(data, 'base64url');
      if (version !== 'v1' || bytes.length < NONCE_BYTES + TAG_BYTES) throw valueBroken();
      const key = keyOf(id);
      const nonce = bytes.subarray(0, NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(boundTo(id, place));
      decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      try {
        return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
      } catch (error) {
        throw valueBroken(error);
      }
    },

    isStale: (sealed) => keyIdOf(sealed) !== activeId(),
  };
}

/** The id of the key that a value was sealed with. */
export const keyIdOf = (sealed: string): string => sealed.split('.')[1] ?? '';

/** Makes a new active key in the data folder; those before it go on opening what they sealed. Returns its id. */
export function addKey(dataDir: string): string {
  const { keys } = ensureRing(dataDir);
  const [active, key] = newKey();
  writeRing(dataDir, { active, keys: { ...keys, [active]: key } });
  return active;
}

/** Removes keys of the data folder that are neither active nor in `used`. Returns the ids of the removed ones. */
export function forgetKeys(dataDir: string, used: ReadonlySet<string>): string[] {
  const ring = readRing(dataDir);
  if (ring === undefined) return [];
  const gone = Object.keys(ring.keys).filter((id) => id !== ring.active && !used.has(id));
  const kept = Object.entries(ring.keys).filter(([id]) => !gone.includes(id));
  if (gone.length > 0) writeRing(dataDir, { active: ring.active, keys: Object.fromEntries(kept) });
  return gone;
}

/** The length of every part is in the text, so that no two places give the same bytes. */
const boundTo = (keyId: string, { tenantId, objectId }: SealedPlace) =>
  Buffer.from(JSON.stringify(['koagent', 'v1', keyId, tenantId, objectId]));

function deriveKey(material: Buffer): { id: string; bytes: Buffer } {
  const derive = (use: string, length: number) => Buffer.from(hkdfSync('sha256', material, '', use, length));
  return { id: derive('koagent vault key id', 4).toString('hex'), bytes: derive('koagent vault key', 32) };
}

function newKey(): [id: string, key: string] {
  const material = randomBytes(32);
  return [deriveKey(material).id, material.toString('base64')];
}

/** The ring as it is on disk; read again when the file has changed, so that a running server follows a rotation. */
function ringOnDisk(dataDir: string, read: (dataDir: string) => KeyRing | undefined) {
  let seen = '';
  let ring: { active: string | undefined; keys: Map<string, Buffer> } = { active: undefined, keys: new Map() };
  return () => {
    const { mtimeMs, ino } = statSync(join(dataDir, FILE), { throwIfNoEntry: false }) ?? { mtimeMs: 0, ino: 0 };
    const stamp = `${mtimeMs}:${ino}`;
    if (stamp === seen && ino !== 0) return ring;
    const stored = read(dataDir);
    const keys = Object.values(stored?.keys ?? {}).map((key) => deriveKey(Buffer.from(key, 'base64')));
    ring = { active: stored?.active, keys: new Map(keys.map(({ id, bytes }) => [id, bytes])) };
    seen = stamp;
    return ring;
  };
}

function readRing(dataDir: string): KeyRing | undefined {
  const file = join(dataDir, FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unreadable(file, error);
  }
  try {
    const ring = JSON.parse(text) as KeyRing;
    if (typeof ring.keys[ring.active] !== 'string') throw new TypeError('no active key');
    return ring;
  } catch (error) {
    throw unreadable(file, error);
  }
}

function ensureRing(dataDir: string): KeyRing {
  const known = readRing(dataDir);
  if (known) return known;
  const [active, key] = newKey();
  const draft = draftOf(dataDir, { active, keys: { [active]: key } });
  try {
    // A link makes the first writer win, and never shows a file that is half written.
    linkSync(draft, join(dataDir, FILE));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(draft);
  }
  const made = readRing(dataDir);
  if (made === undefined) throw unreadable(join(dataDir, FILE));
  return made;
}

const writeRing = (dataDir: string, ring: KeyRing) => renameSync(draftOf(dataDir, ring), join(dataDir, FILE));

function draftOf(dataDir: string, ring: KeyRing): string {
  const draft = join(dataDir, `${FILE}.${randomBytes(6).toString('hex')}`);
  writeFileSync(draft, `${JSON.stringify(ring, null, 2)}\n`, { mode: 0o600, flag: 'wx', flush: true });
  return draft;
}

const keyMissing = (keyId: string) =>
  new AppError(
    'unavailable',
    'VAULT_KEY_MISSING',
    {
      zh: '缺少解密所需的密钥，请恢复数据目录中的 secret.keys 或 KOAGENT_SECRET_KEY',
      en: 'The key of a stored secret is missing; restore secret.keys in the data folder, or KOAGENT_SECRET_KEY',
    },
    { details: { keyId } },
  );

const valueBroken = (cause?: unknown) =>
  new AppError(
    'unavailable',
    'VAULT_VALUE_BROKEN',
    { zh: '已保存的密文无法解密', en: 'A stored secret cannot be decrypted' },
    { cause },
  );

const unreadable = (file: string, cause?: unknown) =>
  new AppError(
    'unavailable',
    'VAULT_KEYS_UNREADABLE',
    { zh: `密钥文件 ${file} 无法读取`, en: `The key file ${file} cannot be read` },
    { cause },
  );
