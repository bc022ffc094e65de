import { isDoc, toNumber } from '../bson.ts';
import type { Engine, Reply, Request } from '../engine.ts';
import { CommandError } from '../errors.ts';
import {
  backupCommand,
  collModCommand,
  collStatsCommand,
  createCommand,
  createIndexesCommand,
  dbStatsCommand,
  dropCommand,
  dropDatabaseCommand,
  dropIndexesCommand,
  listCollectionsCommand,
  listDatabasesCommand,
  listIndexesCommand,
  renameCollectionCommand,
  serverStatusCommand,
  validateCommand,
} from './admin.ts';
import {
  aggregateCommand,
  countCommand,
  distinctCommand,
  explainCommand,
  findCommand,
  getMoreCommand,
  killCursorsCommand,
} from './read.ts';
import { deleteCommand, findAndModifyCommand, insertCommand, updateCommand } from './write.ts';

type Command = (engine: Engine, request: Request) => Promise<Reply>;

const hello: Command = async (_engine, { name }) => ({
  helloOk: true,
  [name.toLowerCase() === 'hello' ? 'isWritablePrimary' : 'ismaster']: true,
  maxBsonObjectSize: 16 * 1024 * 1024,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  localTime: new Date(),
  // No logicalSessionTimeoutMinutes: a standalone server without sessions, so drivers refuse transactions at once.
  minWireVersion: 0,
  maxWireVersion: 21,
  readOnly: false,
});

const nothing: Command = async () => ({});

const transactions: Command = async () => {
  throw new CommandError(
    20,
    'Transaction numbers are only allowed on a replica set member or mongos: the embedded store has no transactions',
  );
};

const commands: Record<string, Command> = {
  hello,
  ismaster: hello,
  ping: nothing,
  endsessions: nothing,
  killsessions: nothing,
  refreshsessions: nothing,
  startsession: async () => {
    throw new CommandError(115, 'Sessions are not supported by the embedded store');
  },
  committransaction: transactions,
  aborttransaction: transactions,
  buildinfo: async () => ({
    version: '7.0.0',
    versionArray: [7, 0, 0, 0],
    gitVersion: 'koagent',
    modules: [],
    bits: 64,
    maxBsonObjectSize: 16 * 1024 * 1024,
    storageEngines: ['sqlite'],
  }),
  hostinfo: async () => ({ system: { currentTime: new Date() } }),
  getparameter: async (_engine, { body }) =>
    body.featureCompatibilityVersion ? { featureCompatibilityVersion: { version: '7.0' } } : {},
  getcmdlineopts: async () => ({ argv: [], parsed: {} }),
  getlog: async () => ({ totalLinesWritten: 0, log: [] }),
  connectionstatus: async () => ({ authInfo: { authenticatedUsers: [], authenticatedUserRoles: [] } }),
  whatsmyuri: async () => ({ you: 'local' }),
  serverstatus: serverStatusCommand,
  find: findCommand,
  aggregate: aggregateCommand,
  count: countCommand,
  distinct: distinctCommand,
  getmore: getMoreCommand,
  killcursors: killCursorsCommand,
  explain: explainCommand,
  insert: insertCommand,
  update: updateCommand,
  delete: deleteCommand,
  findandmodify: findAndModifyCommand,
  create: createCommand,
  collmod: collModCommand,
  drop: dropCommand,
  dropdatabase: dropDatabaseCommand,
  renamecollection: renameCollectionCommand,
  listcollections: listCollectionsCommand,
  listdatabases: listDatabasesCommand,
  createindexes: createIndexesCommand,
  dropindexes: dropIndexesCommand,
  deleteindexes: dropIndexesCommand,
  listindexes: listIndexesCommand,
  collstats: collStatsCommand,
  dbstats: dbStatsCommand,
  validate: validateCommand,
  koagentbackup: backupCommand,
};

/** Carries out one command. */
export async function runCommand(engine: Engine, request: Request): Promise<Reply> {
  engine.counters.commands++;
  const { body } = request;
  const command = Object.hasOwn(commands, request.name.toLowerCase())
    ? commands[request.name.toLowerCase()]
    : undefined;
  if (!command) throw new CommandError(59, `no such command: '${request.name}'`);
  if (body.startTransaction === true || body.autocommit === false) return transactions(engine, request);
  const concern = isDoc(body.writeConcern) ? body.writeConcern : undefined;
  const w = concern?.w;
  if (typeof w !== 'string' && (toNumber(w) ?? 1) > 1)
    throw new CommandError(2, "cannot use 'w' > 1 when a host is not replicated");
  return command(engine, request);
}
