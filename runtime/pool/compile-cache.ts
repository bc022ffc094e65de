import * as nodeModule from 'node:module';
import { dirname } from 'node:path';

// Not in every runtime.
const { getCompileCacheDir, flushCompileCache } = nodeModule as Partial<typeof nodeModule>;

/** What makes a thread or process with an environment of its own use the cache of compiled code that this one uses. */
export function compileCacheEnv(): Record<string, string> {
  const folder = getCompileCacheDir?.();
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) };
}

/** The thread has read it; nodes see only the environment that they were given. */
export function hideCompileCache(): void {
  delete process.env.NODE_COMPILE_CACHE;
}

/** Stores what was compiled so far: threads and processes that are ended hard would never do it. */
export function keepCompiled(): void {
  flushCompileCache?.();
}
