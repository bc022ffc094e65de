import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Installed, type PeerRow, rateOf } from './index.ts';

/** What is used of Mastra. */
interface Workflow {
  then(step: unknown): Workflow;
  commit(): Workflow;
  createRun(): Promise<{ start(options: { inputData: unknown }): Promise<{ status: string }> }>;
}
interface Workflows {
  createWorkflow(options: unknown): Workflow;
  createStep(options: unknown): unknown;
}
interface Core {
  Mastra: new (options: unknown) => { getWorkflow(name: string): Workflow };
}
interface Zod {
  z: { object(shape: unknown): unknown; string(): unknown; number(): unknown };
}

/** Mastra in this process: without a store, and with its LibSQL store in a file. */
export async function mastra({ version, load }: Installed, seconds: number): Promise<PeerRow[]> {
  const { createWorkflow, createStep } = await load<Workflows>('@mastra/core/workflows');
  const { Mastra } = await load<Core>('@mastra/core/mastra');
  const { LibSQLStore } = await load<{ LibSQLStore: new (options: unknown) => unknown }>('@mastra/libsql');
  const { z } = await load<Zod>('zod');
  const schema = z.object({ text: z.string(), n: z.number() });
  const step = (id: string) =>
    createStep({
      id,
      inputSchema: schema,
      outputSchema: schema,
      execute: async ({ inputData: { text, n } }: { inputData: Record<string, unknown> }) => ({ text, n }),
    });
  const build = () =>
    createWorkflow({ id: 'bench', inputSchema: schema, outputSchema: schema })
      .then(step('begin'))
      .then(step('copy'))
      .then(step('finish'))
      .commit();
  const execute = async (workflow: Workflow) => {
    const run = await workflow.createRun();
    const { status } = await run.start({ inputData: { text: 'x', n: 1 } });
    if (status !== 'success') throw new Error(`Mastra: ${status}`);
  };
  const row = async (name: string, workflow: Workflow, at: number): Promise<PeerRow> => [
    `Mastra ${version}, ${name}`,
    at,
    await rateOf(seconds, at, () => execute(workflow)),
  ];
  const folder = mkdtempSync(join(tmpdir(), 'koagent-bench-mastra-'));
  try {
    const storage = new LibSQLStore({ id: 'bench', url: `file:${join(folder, 'runs.db')}` });
    const stored = new Mastra({ workflows: { bench: build() }, storage, logger: false }).getWorkflow('bench');
    const plain = build();
    return [
      await row('nothing stored', plain, 1),
      await row('nothing stored', plain, 32),
      await row('LibSQL store in a file', stored, 1),
      await row('LibSQL store in a file', stored, 32),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
