import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../core/log.ts';
import { repeatEvery } from '../../core/repeat.ts';

const log = createLogger('silent');

test('repeatEvery: goes on after a failure; its end tells the work under way to stop and waits for it', async () => {
  const third = Promise.withResolvers<void>();
  let calls = 0;
  let over = false;
  const end = repeatEvery(
    1,
    async (signal) => {
      calls += 1;
      if (calls === 1) throw new Error('once');
      if (calls < 3) return;
      third.resolve();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      over = true;
    },
    log,
    'test',
  );
  // The pauses alone keep no process alive.
  const alive = setInterval(() => undefined, 1000);
  await third.promise;
  await end();
  clearInterval(alive);
  assert.deepEqual([calls, over], [3, true]);
});
