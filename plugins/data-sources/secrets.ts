/** What clients see in place of a secret, and send back to keep it. */
export const MASK = '******';

/** Secrets of a config by place: a JSON pointer, for parts of an address with `#password` or `?<parameter>` behind it. */
export type Secrets = Record<string, unknown>;

const SECRET_NAME =
  /pass(word|wd|phrase)|(^|[-_])pwd$|secret|token(?!s)|api[-_]?key|access[-_]?key|private[-_]?key|(^|[-_.])key$|authorization|(^|[-_])(auth|jwt|sid|sig|signature)$|cookie|credential|session[-_]?id/i;

export const isSecretName = (name: string): boolean => SECRET_NAME.test(name);

/** Deeper values are not looked at, and not stored either. */
const MAX_DEPTH = 500;

/** Documents that a source carries are data, whatever their keys are called. */
const isData = (path: readonly string[]) => path[0] === 'data';

/**
 * Takes the secrets out of a config: passwords, keys, authorization headers, parameters named so, and those inside addresses.
 *
 * @param kept secrets stored so far, for the places where the config has the mask
 * @returns `lost`: places with a mask and no stored secret
 */
export function hideSecrets(
  config: Record<string, unknown>,
  kept: Secrets = {},
): { shown: Record<string, unknown>; secrets: Secrets; lost: string[][] } {
  const secrets: Secrets = {};
  const lost: string[][] = [];
  const take = (place: string, value: unknown, path: string[]) => {
    if (value !== MASK) secrets[place] = value;
    else if (Object.hasOwn(kept, place)) secrets[place] = kept[place];
    else lost.push(path);
  };
  const shown = mapValues(config, [], (value, path) => {
    if (isSecret(value, path)) {
      take(pointer(path), value, path);
      return MASK;
    }
    return typeof value === 'string' && isAddress(value)
      ? mapAddress(value, (part, secret) => {
          take(pointer(path) + part, secret, path);
          return MASK;
        })
      : value;
  });
  return { shown, secrets, lost };
}

/** The config with its secrets back in their places. */
export const restoreSecrets = (shown: Record<string, unknown>, secrets: Secrets): Record<string, unknown> =>
  mapValues(shown, [], (value, path) => {
    const place = pointer(path);
    if (value === MASK && Object.hasOwn(secrets, place)) return secrets[place];
    return typeof value === 'string' && isAddress(value)
      ? mapAddress(value, (part, text) => String(secrets[place + part] ?? text))
      : value;
  });

/** Replaces secrets in a text that comes from outside. Very short ones would hide half of the text. */
export function redact(text: string, secrets: Secrets): string {
  let clean = text;
  for (const secret of Object.values(secrets)) {
    if (typeof secret === 'string' && secret.length > 3) clean = clean.replaceAll(secret, MASK);
  }
  return clean;
}

/** Empty values are no secrets: they say that there is none. */
const isSecret = (value: unknown, path: readonly string[]) =>
  ((typeof value === 'string' && value !== '') || typeof value === 'number') && isSecretName(path.at(-1) ?? '');

const pointer = (path: readonly string[]) =>
  path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

function mapValues(
  value: Record<string, unknown>,
  path: string[],
  change: (value: unknown, path: string[]) => unknown,
): Record<string, unknown>;
function mapValues(value: unknown, path: string[], change: (value: unknown, path: string[]) => unknown): unknown;
function mapValues(value: unknown, path: string[], change: (value: unknown, path: string[]) => unknown): unknown {
  if (isData(path) || path.length > MAX_DEPTH) return value;
  if (Array.isArray(value)) return value.map((item, at) => mapValues(item, [...path, String(at)], change));
  if (typeof value !== 'object' || value === null) return change(value, path);
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, mapValues(item, [...path, name], change)]),
  );
}

const isAddress = (text: string) => /^[a-z][a-z0-9+.-]*:\/\//i.test(text);

/** Goes through the password and the secret parameters of an address, as text, so that everything else stays as it was. */
function mapAddress(address: string, change: (part: string, secret: string) => string): string {
  const [, start = '', query = '', hash = ''] = /^([^?#]*)(\?[^#]*)?(.*)$/s.exec(address) ?? [];
  const seen = new Map<string, number>();
  const changedStart = start.replace(
    /^([a-z][a-z0-9+.-]*:\/\/[^/:@]*:)([^/]+)@/i,
    (_all, before: string, password: string) => `${before}${change('#password', password)}@`,
  );
  const changedQuery = query.replace(/([?&])([^=&]*)=([^&]*)/g, (all, sign: string, name: string, value: string) => {
    if (value === '' || !isSecretName(name)) return all;
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return `${sign}${name}=${change(`?${name}${count === 0 ? '' : `#${count}`}`, value)}`;
  });
  return changedStart + changedQuery + hash;
}
