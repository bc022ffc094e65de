/** `npm run reindex`: makes the search index of this data folder anew from the stored passages. */
import { parseArgs } from 'node:util';
import { loadSettings } from '../config/settings.ts';
import { AppError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { openDatabase } from './open-database.ts';
import { openKnowledge } from './open-knowledge.ts';

const HELP = `usage: npm run reindex [-- --tenant <id>]

Makes the search index of the data folder (KOAGENT_DATA_DIR, ./data) anew from the passages in the store, document by
document: a running server goes on searching meanwhile. Needed only when the store was put back by other tools than
\`npm run restore\`, or to be sure. With several servers run it on each: every one has an index of its own.`;

async function main(tenant: string | undefined): Promise<void> {
  const settings = loadSettings(process.env);
  const log = createLogger('error');
  const database = await openDatabase(settings, log);
  const knowledge = openKnowledge({ database, dataDir: settings.dataDir, log });
  try {
    await database.ready();
    const started = performance.now();
    const tenants = (await knowledge.tenants()).filter(({ tenantId }) => tenant === undefined || tenantId === tenant);
    let done = 0;
    for (const { tenantId, documents } of tenants) {
      await knowledge.index.rebuild({ tenantId });
      done += documents;
      console.log(`${tenantId}: ${documents} documents`);
    }
    console.log(
      `${done} documents of ${tenants.length} tenants in ${((performance.now() - started) / 1000).toFixed(1)} s`,
    );
  } finally {
    await knowledge.close();
    await database.close();
  }
}

try {
  const { values } = parseArgs({ options: { help: { type: 'boolean' }, tenant: { type: 'string' } } });
  if (values.help) console.log(HELP);
  else await main(values.tenant);
} catch (error) {
  const usage = (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true;
  console.error(
    usage
      ? `koagent: ${(error as Error).message}\n\n${HELP}`
      : error instanceof AppError
        ? `koagent: ${error.message}`
        : error,
  );
  process.exitCode = usage ? 2 : 1;
}
