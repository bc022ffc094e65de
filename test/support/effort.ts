import assert from 'node:assert/strict';

/** Far more than one pass over any input of these tests takes anywhere, and far less than a pass for each of its characters. */
const ONE_PASS_SECONDS = 20;

/**
 * Does work that must look at its input once, however hostile that is. What counts is the processor time of this thread: other work of
 * the machine does not.
 */
export async function inOnePass<T>(work: () => T | Promise<T>, name = 'this'): Promise<T> {
  const before = process.threadCpuUsage();
  const result = await work();
  const { user, system } = process.threadCpuUsage(before);
  const seconds = (user + system) / 1e6;
  assert.ok(seconds < ONE_PASS_SECONDS, `${name} took ${seconds.toFixed(1)} s of processor time`);
  return result;
}
