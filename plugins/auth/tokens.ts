import { createSecretKey, randomUUID } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { CONTRACT_NAMES, type ContractName } from '../../core/contracts/contract.ts';

const ALGORITHM = 'HS256';
/** Tokens that need not be looked at again; a few hundred bytes each. */
const MAX_KNOWN = 5000;

export type TokenType = 'access' | 'refresh';

export interface TokenClaims {
  type: TokenType;
  accountId: string;
  tokenId: string;
  loginId: string;
  audience: ContractName[];
  /** The tenants that the token may use; absent: membership decides. */
  tenants?: string[];
}

export interface TokenSigner {
  /** @param lifetimeSeconds time until the token is refused */
  sign(claims: Omit<TokenClaims, 'tokenId'> & { tokenId?: string }, lifetimeSeconds: number): string;
  /** The claims of a token of this type that we signed and that has not expired. */
  verify(token: string, type: TokenType): TokenClaims | undefined;
}

/** @param now milliseconds since 1970 */
export function createTokenSigner(secret: string, now: () => number = Date.now): TokenSigner {
  // Text would be tried as a public key first, with every token.
  const key = createSecretKey(secret, 'utf8');
  /** Tokens that were found good: what they say holds until they expire. The oldest make room. */
  const good = new Map<string, { claims: TokenClaims; exp: number }>();

  const verified = (token: string): { claims: TokenClaims; exp: number } | undefined => {
    const seconds = Math.floor(now() / 1000);
    const known = good.get(token);
    if (known && known.exp > seconds) return known;
    good.delete(token);
    if (!looksLikeJwt(token)) return undefined;
    let payload: unknown;
    try {
      payload = jwt.verify(token, key, { algorithms: [ALGORITHM], clockTimestamp: seconds });
    } catch (error) {
      if (error instanceof jwt.JsonWebTokenError) return undefined;
      throw error;
    }
    const read = readClaims(payload);
    if (!read) return undefined;
    good.set(token, read);
    const [oldest] = good.keys();
    if (good.size > MAX_KNOWN && oldest !== undefined) good.delete(oldest);
    return read;
  };

  return {
    sign({ type, accountId, tokenId = randomUUID(), loginId, audience, tenants }, lifetimeSeconds) {
      const iat = Math.floor(now() / 1000);
      const payload = {
        typ: type,
        sub: accountId,
        jti: tokenId,
        lid: loginId,
        aud: audience.length === 1 ? audience[0] : audience,
        ...(tenants && { tenants }),
        iat,
        exp: iat + lifetimeSeconds,
      };
      return jwt.sign(payload, key, { algorithm: ALGORITHM });
    },

    verify(token, type) {
      const claims = verified(token)?.claims;
      return claims?.type === type ? claims : undefined;
    },
  };
}

function readClaims(payload: unknown): { claims: TokenClaims; exp: number } | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const { typ, sub, jti, lid, aud, tenants, exp } = payload as Record<string, unknown>;
  if (typ !== 'access' && typ !== 'refresh') return undefined;
  // A token without an end would be valid for ever; ours always have one.
  if (typeof sub !== 'string' || typeof jti !== 'string' || typeof lid !== 'string' || typeof exp !== 'number') {
    return undefined;
  }
  const audience = contractsIn(aud);
  if (audience.length === 0) return undefined;
  if (tenants !== undefined && !(Array.isArray(tenants) && tenants.every((tenant) => typeof tenant === 'string'))) {
    return undefined;
  }
  return {
    claims: { type: typ, accountId: sub, tokenId: jti, loginId: lid, audience, ...(tenants && { tenants }) },
    exp,
  };
}

const contractsIn = (audience: unknown): ContractName[] => {
  const named = Array.isArray(audience) ? audience : [audience];
  return CONTRACT_NAMES.filter((name) => named.includes(name)).sort((a, b) => named.indexOf(a) - named.indexOf(b));
};

const MAX_TOKEN_LENGTH = 8192;

/** Three parts of which the first is JSON; an opaque token never looks so. */
export function looksLikeJwt(value: string): boolean {
  const parts = value.split('.', 4);
  return value.length <= MAX_TOKEN_LENGTH && parts.length === 3 && jsonPart(parts[0]) !== undefined;
}

/** Which API an unverified token names; it may choose the form of an error and nothing else. */
export function claimedAudience(value: string): ContractName[] {
  return value.length <= MAX_TOKEN_LENGTH ? contractsIn(jsonPart(value.split('.', 3)[1])?.aud) : [];
}

function jsonPart(part: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
