/** `npm run new-plugin -- <name>`: writes a working plugin to build on. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createLogger } from '../core/log.ts';
import { CONTROL_TYPES } from '../plugins/workflows/engine/control-types.ts';
import { nodeFiles } from '../plugins/workflows/nodes/index.ts';
import { createPool } from '../runtime/pool/index.ts';
import { createPlugin, linkPlugin, NewPluginError } from './new-plugin/create.ts';

const HELP = `usage: npm run new-plugin -- <name> [--folder <path>]
       npm run new-plugin -- --link <folder>

Writes a plugin with a service, a route, a node type, a test and a README, and prints the lines for the manifest. Without --folder it is
written to plugins/<name> of this project; with it, to a folder of its own outside the project, which may be moved later.
--link makes the link to this Koagent in such a folder anew, for example after Koagent was moved.`;

const root = join(import.meta.dirname, '..');

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { folder: { type: 'string' }, link: { type: 'string' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) return console.log(HELP);
  if (values.link !== undefined) {
    linkPlugin(values.link, root);
    return console.log(`linked: ${values.link}`);
  }
  const [name, ...more] = positionals;
  if (name === undefined || more.length > 0) throw new NewPluginError(HELP);
  const { folder, from, files } = createPlugin({ name, folder: values.folder, root, taken: await takenNames() });
  console.log(`${files.length} files written:`);
  for (const file of files) console.log(`  ${file}`);
  console.log(`
Add to plugins in config/manifest.yaml:

  ${name}:
    from: ${from}
    enabled: true
    options: {}

Test it:  ${values.folder === undefined ? `npm test -- test/plugins/${name}` : `cd ${folder} && npm test`}
Guide:    docs/plugins.md`);
}

/** Names of plugins and node types that a new plugin would collide with. */
async function takenNames(): Promise<string[]> {
  const pool = await createPool({ log: createLogger('silent'), nodes: nodeFiles });
  const types = pool.describe().map(({ type }) => type);
  await pool.close({ graceMs: 0 });
  return ['koagent', 'core', ...readdirSync(join(root, 'plugins')), ...CONTROL_TYPES.map(({ type }) => type), ...types];
}

try {
  await main();
} catch (error) {
  const mistake = error instanceof NewPluginError || (error instanceof TypeError && 'code' in error);
  console.error(mistake ? `new-plugin: ${error.message}` : error);
  process.exitCode = mistake ? 2 : 1;
}
