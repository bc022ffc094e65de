import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../core/log.ts';

test('secrets never reach a line, at any depth and in any casing', () => {
  const lines: string[] = [];
  const log = createLogger('info', { write: (line) => void lines.push(line) });
  log.info(
    { password: 'hunter2', user: { Authorization: 'Bearer hunter2', list: [{ refreshToken: 'hunter2', id: 1 }] } },
    'login',
  );
  log.child({ traceId: 't' }).warn({ a: { b: { c: { d: { token: 'hunter2' } } } } }, 'deep');
  let deep: Record<string, unknown> = { secret: 'hunter2' };
  for (let depth = 0; depth < 20; depth++) deep = { secret: 'hunter2', next: deep };
  log.info(deep, 'deeper');
  log.error({ err: new Error('broken') }, 'failed');
  assert.equal(lines.length, 4);
  assert.doesNotMatch(lines.join(''), /hunter2/);
  assert.deepEqual(JSON.parse(lines[0] ?? '').user, {
    Authorization: '[redacted]',
    list: [{ refreshToken: '[redacted]', id: 1 }],
  });
  assert.equal(JSON.parse(lines[1] ?? '').traceId, 't');
  assert.match(JSON.parse(lines[3] ?? '').err.stack, /broken/);
});
