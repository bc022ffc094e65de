import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import jwt from 'jsonwebtoken';
import { claimedAudience, createTokenSigner, looksLikeJwt } from '../../../plugins/auth/tokens.ts';

const SECRET = 'a secret of at least thirty-two characters';
let clock = Date.parse('2026-05-10T08:00:00Z');
const signer = createTokenSigner(SECRET, () => clock);
const claims = { type: 'access', accountId: 'acc', loginId: 'log', audience: ['studio'] } as const;
const sign = (type: 'access' | 'refresh' = 'access') => signer.sign({ ...claims, audience: ['studio'], type }, 1800);

const forge = (header: object, payload: object, secret = SECRET) => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part(header)}.${part(payload)}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
};
const payload = () => ({
  typ: 'access',
  sub: 'acc',
  jti: 'j',
  lid: 'log',
  aud: 'studio',
  iat: Math.floor(clock / 1000),
  exp: Math.floor(clock / 1000) + 60,
});

test('sign: the claims are those of the contract', () => {
  const decoded = jwt.decode(sign(), { complete: true });
  assert.equal(decoded?.header.alg, 'HS256');
  const body = decoded?.payload as Record<string, unknown>;
  assert.deepEqual(Object.keys(body).sort(), ['aud', 'exp', 'iat', 'jti', 'lid', 'sub', 'typ']);
  assert.equal(body.aud, 'studio');
  assert.equal(Number(body.exp) - Number(body.iat), 1800);
});

test('verify: accepts its own token until it expires, and only as its type', () => {
  const token = sign();
  const { tokenId, ...rest } = signer.verify(token, 'access') ?? { tokenId: '' };
  assert.match(tokenId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, { type: 'access', accountId: 'acc', loginId: 'log', audience: ['studio'] });
  assert.equal(signer.verify(token, 'refresh'), undefined);
  assert.equal(signer.verify(sign('refresh'), 'access'), undefined);
  clock += 1799_000;
  assert.ok(signer.verify(token, 'access'));
  clock += 2_000;
  assert.equal(signer.verify(token, 'access'), undefined);
});

test('verify: keeps the order of the APIs and the tenants of an operator token', () => {
  const token = signer.sign({ ...claims, audience: ['research', 'studio'], tenants: ['a', 'b'] }, 60);
  const verified = signer.verify(token, 'access');
  assert.deepEqual(verified?.audience, ['research', 'studio']);
  assert.deepEqual(verified?.tenants, ['a', 'b']);
});

test('verify: forged, changed and incomplete tokens are refused', () => {
  assert.ok(signer.verify(forge({ alg: 'HS256', typ: 'JWT' }, payload()), 'access'), 'the forger works');
  const [head, body, signature] = sign().split('.');
  const changed = Buffer.from(JSON.stringify({ ...payload(), sub: 'other' })).toString('base64url');
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  const { exp: _exp, ...endless } = payload();
  const { lid: _lid, ...noLogin } = payload();
  const bad: Record<string, string> = {
    'other secret': forge({ alg: 'HS256' }, payload(), 'another secret of thirty-two characters'),
    'changed payload': `${head}.${changed}.${signature}`,
    'no signature': `${head}.${body}.`,
    'alg none': `${none}.${body}.`,
    'alg HS512': jwt.sign(payload(), SECRET, { algorithm: 'HS512' }),
    'no end': forge({ alg: 'HS256' }, endless),
    'no login': forge({ alg: 'HS256' }, noLogin),
    'no type': forge({ alg: 'HS256' }, { ...payload(), typ: 'id' }),
    'unknown audience': forge({ alg: 'HS256' }, { ...payload(), aud: 'other' }),
    'wrong types': forge({ alg: 'HS256' }, { ...payload(), sub: { $ne: null } }),
    'wrong tenants': forge({ alg: 'HS256' }, { ...payload(), tenants: 'all' }),
    'not yet valid': forge({ alg: 'HS256' }, { ...payload(), nbf: Math.floor(clock / 1000) + 600 }),
    'payload is text': forge({ alg: 'HS256' }, 'text' as unknown as object),
    garbage: 'a.b.c',
    empty: '',
    'three dots': '...',
    huge: `${head}.${'A'.repeat(20_000)}.${signature}`,
  };
  for (const [name, token] of Object.entries(bad)) assert.equal(signer.verify(token, 'access'), undefined, name);
});

test('looksLikeJwt and claimedAudience: tell the form only', () => {
  assert.equal(looksLikeJwt(sign()), true);
  for (const opaque of ['', 'abc', 'a.b.c', 'a.b', `${sign()}.x`, 'eA==.x.y'])
    assert.equal(looksLikeJwt(opaque), false, opaque);
  assert.deepEqual(claimedAudience(forge({ alg: 'HS256' }, { aud: ['research', 'nobody', 'lowcode'] }, 'x')), [
    'research',
    'lowcode',
  ]);
  for (const none of ['a.b.c', 'x', forge({}, { aud: { $x: 1 } }), forge({}, [])])
    assert.deepEqual(claimedAudience(none), []);
});

test('a token that was found good before is still refused once it has expired, and as another type', () => {
  let now = 1_700_000_000_000;
  const signer = createTokenSigner('x'.repeat(32), () => now);
  const token = signer.sign({ type: 'access', accountId: 'a', loginId: 'l', audience: ['lowcode'] }, 60);
  assert.equal(signer.verify(token, 'access')?.accountId, 'a');
  assert.equal(signer.verify(token, 'access')?.accountId, 'a');
  assert.equal(signer.verify(token, 'refresh'), undefined);
  assert.equal(signer.verify(`${token}x`, 'access'), undefined);
  now += 61_000;
  assert.equal(signer.verify(token, 'access'), undefined);
});
