import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Principal } from '../../../core/principal.ts';
import { createFileService } from '../../../plugins/files/service.ts';
import { createFileStore } from '../../../plugins/files/store.ts';

const principal: Principal = { kind: 'api', accountId: 'account-1', tenantId: 'api-1', roles: ['user'] };

test('upload: all files of an account together have a limit, in whole blocks, also when they come at once', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'koagent-files-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const store = createFileStore({ root: join(root, 'files'), fileBytes: 1 << 20, quota: 40_960 });
  const files = createFileService(store);
  const source = join(root, 'source');
  await writeFile(source, 'x'.repeat(4000));
  const put = (name: string, who = principal) => files.upload(who, { name, source });

  // user_upload itself is one block of ten; each file is one.
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => put(`${at}.txt`)));
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.code] : []));
  assert.deepEqual([...new Set(refused)], ['FILE_QUOTA_EXCEEDED']);
  const { items } = await files.list(principal, '');
  assert.equal(items.length, 9);
  // The same name again needs no more room; another account has its own.
  await put(items[0]?.name ?? '');
  await put('a.txt', { ...principal, accountId: 'account-2' });
  await writeFile(source, 'x'.repeat((1 << 20) + 1));
  await assert.rejects(put(items[0]?.name ?? ''), { code: 'FILE_TOO_BIG' });
});

test('whatever the system refuses is told as a failure to store, without the path of the server', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'koagent-files-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const files = createFileService(createFileStore({ root, fileBytes: 1 << 20, quota: 1 << 30 }));
  const source = join(root, 'source');
  await writeFile(source, 'x');
  // No folder can be made where a file is.
  await writeFile(join(root, '.drafts'), '');
  await assert.rejects(
    files.upload(principal, { name: 'a.txt', source }),
    (error: { code: string; message: string }) => {
      assert.equal(error.code, 'FILE_STORE_FAILED');
      assert.ok(!error.message.includes(root));
      return true;
    },
  );
});
