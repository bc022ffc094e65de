import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { parse, stringify } from 'yaml';

const CONFIG = resolve(import.meta.dirname, '../../config');

export interface ManifestDraft {
  plugins: Record<string, { from: string; enabled: boolean; options: Record<string, unknown> }>;
  http: Record<string, unknown> & { limits: Record<string, Record<string, number>> };
  runtime: Record<string, unknown>;
}

/** The project's manifest with changes, in a file that goes away with the test; its path is for `KOAGENT_MANIFEST`. */
export function changedManifest(t: Pick<TestContext, 'after'>, change: (manifest: ManifestDraft) => void): string {
  const manifest = parse(readFileSync(join(CONFIG, 'manifest.yaml'), 'utf8')) as ManifestDraft;
  for (const plugin of Object.values(manifest.plugins)) plugin.from = resolve(CONFIG, plugin.from);
  change(manifest);
  const folder = mkdtempSync(join(tmpdir(), 'koagent-manifest-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'manifest.yaml');
  writeFileSync(file, stringify(manifest));
  return file;
}
