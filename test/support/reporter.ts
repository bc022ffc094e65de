import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';

const MAX_OUTPUT = 10_000;

/** One line per file and failure, the errors in full, and `N passed, N failed` as the last line. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let [passed, failed, skipped] = [0, 0, 0];
  const perFile = new Map<string, { passed: number; failed: number; ms: number }>();
  const reasons = new Map<string, number>();
  const output = new Map<string, string>();

  for await (const { type, data } of source) {
    if (type === 'test:stdout' || type === 'test:stderr') {
      // Kept for the case that the file breaks as a whole; then it is all there is to go by.
      const file = data.file ?? '';
      output.set(file, ((output.get(file) ?? '') + data.message).slice(-MAX_OUTPUT));
      continue;
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    // A file and a suite are only what their tests are, unless they break by themselves.
    const details = data.details as {
      type?: string;
      duration_ms?: number;
      error?: Error & { code?: string; failureType?: string; cause?: unknown };
    };
    const isFile = data.file !== undefined && data.nesting === 0 && data.name.endsWith('.test.ts');
    const onlyHolder = details.type === 'suite' || isFile || details.error?.failureType === 'subtestsFailed';
    const file = relative(process.cwd(), data.file ?? '');
    const counts = perFile.get(file) ?? { passed: 0, failed: 0, ms: 0 };
    perFile.set(file, counts);
    if (data.nesting === 0) counts.ms += details.duration_ms ?? 0;
    if (data.skip !== undefined && data.skip !== false) {
      skipped++;
      const reason = typeof data.skip === 'string' ? data.skip : 'no reason given';
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    } else if (type === 'test:pass') {
      if (onlyHolder) continue;
      passed++;
      counts.passed++;
    } else {
      if (details.error?.failureType === 'subtestsFailed') continue;
      failed++;
      counts.failed++;
      const error = details.error?.cause ?? details.error;
      yield `\nFAILED ${file}: ${data.name}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${isFile ? (output.get(data.file ?? '') ?? '') : ''}`;
    }
  }

  yield '\n';
  for (const [file, counts] of [...perFile].sort(([a], [b]) => a.localeCompare(b))) {
    yield `${counts.failed > 0 ? 'FAIL' : 'ok  '} ${file}: ${counts.passed} passed${counts.failed > 0 ? `, ${counts.failed} failed` : ''} (${(counts.ms / 1000).toFixed(1)} s)\n`;
  }
  for (const [reason, count] of reasons) yield `skipped ${count}: ${reason}\n`;
  yield `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
}
