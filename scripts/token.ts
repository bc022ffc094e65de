/** `npm run token`: API accounts, operator tokens and members of tenants. Works beside a running server and without one. */
import { parseArgs } from 'node:util';
import { loadSettings } from '../config/settings.ts';
import { CONTRACT_NAMES, type ContractName } from '../core/contracts/contract.ts';
import { AppError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { checkOptions } from '../core/manifest.ts';
import { systemPrincipal } from '../core/principal.ts';
import { type Auth, authConfig, createAuth } from '../plugins/auth/setup.ts';
import { openDatabase } from './open-database.ts';

const HELP = `usage: npm run token -- <command>

  create <name> [--note <text>]        makes an account of the tasks API and prints its token
  list                                 shows API accounts and operator tokens
  revoke <name | id>                   ends the token of an API account, or an operator token by its id
  operator --aud <apis> [--tenants <ids>] [--days <n>] [--note <text>] <email>
                                       prints an access token of an existing account for several APIs
                                       (studio, research, lowcode, reports), limited to the named tenants; 30 days
  member add | remove <tenant> <email> lets an account use a tenant beside its owner, or no longer

The token stands alone on the last line. It is shown once: only a hash of it is kept. A server that runs already takes
what was revoked for up to 5 seconds more. Environment: as for npm start.`;

class UsageError extends Error {}

type Arguments = ReturnType<typeof readArguments>;

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        help: { type: 'boolean', default: false },
        note: { type: 'string' },
        aud: { type: 'string' },
        tenants: { type: 'string' },
        days: { type: 'string', default: '30' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The texts of a command by position; too few or too many are a mistake. */
function texts<N extends number>({ positionals }: Arguments, count: N): string[] {
  const given = positionals.slice(1);
  if (given.length !== count || given.includes(''))
    throw new UsageError(`${positionals[0]} takes ${count} argument(s)`);
  return given;
}

const listed = (value: string | undefined) =>
  value
    ?.split(',')
    .map((item) => item.trim())
    .filter(Boolean);

async function accountOf(auth: Auth, email: string): Promise<string> {
  const account = await auth.accounts.findByEmail(email);
  if (!account) {
    throw new AppError('not_found', 'ACCOUNT_NOT_FOUND', {
      zh: `用户 ${email} 不存在`,
      en: `There is no account ${email}`,
    });
  }
  return account.id;
}

const commands: Record<string, (auth: Auth, given: Arguments) => Promise<void>> = {
  async create(auth, given) {
    const [name = ''] = texts(given, 1);
    console.log(await auth.apiTokens.create(name, given.values.note));
  },

  async list(auth, given) {
    texts(given, 0);
    for (const { name, note, createdAt, revokedAt } of await auth.apiTokens.list()) {
      const state = revokedAt ? `revoked ${revokedAt.toISOString()}` : 'active';
      console.log(['api', name, state, createdAt.toISOString(), note ?? ''].join('\t'));
    }
    for (const { _id, accountId, audience, expiresAt, note } of await auth.logins.listOperator()) {
      console.log(
        ['operator', _id, `until ${expiresAt.toISOString()}`, audience.join(), `account ${accountId}`, note ?? ''].join(
          '\t',
        ),
      );
    }
  },

  async revoke(auth, given) {
    const [name = ''] = texts(given, 1);
    if (!(await auth.apiTokens.revoke(name)) && !(await auth.logins.end(name))) {
      throw new AppError('not_found', 'TOKEN_NOT_FOUND', {
        zh: `没有令牌 ${name}`,
        en: `There is no token of ${name}`,
      });
    }
    console.error(`revoked: ${name}`);
  },

  async operator(auth, given) {
    const [email = ''] = texts(given, 1);
    const audience = (listed(given.values.aud) ?? []).filter((name): name is ContractName =>
      (CONTRACT_NAMES as readonly string[]).includes(name),
    );
    if (audience.length === 0 || audience.length !== listed(given.values.aud)?.length || audience.includes('tasks')) {
      throw new UsageError('--aud needs one or more of studio, research, lowcode, reports');
    }
    const days = Number(given.values.days);
    if (!(days > 0 && days <= 3650)) throw new UsageError('--days needs a number of days up to 3650');
    const tenants = listed(given.values.tenants);
    if (tenants?.length === 0) throw new UsageError('--tenants needs at least one tenant');
    const { loginId, token } = await auth.logins.startOperator({
      accountId: await accountOf(auth, email),
      audience,
      days,
      ...(tenants && { tenants }),
      ...(given.values.note !== undefined && { note: given.values.note }),
    });
    console.error(`operator token ${loginId}, to be revoked by this id`);
    console.log(token);
  },

  async member(auth, given) {
    const [action, tenant = '', email = ''] = texts(given, 3);
    if (action !== 'add' && action !== 'remove') throw new UsageError('member add or member remove');
    const accountId = await accountOf(auth, email);
    if (action === 'add') await auth.accounts.addTenantMember(systemPrincipal(tenant), tenant, accountId);
    else await auth.accounts.removeTenantMember(systemPrincipal(tenant), tenant, accountId);
    console.error(`${action}: ${email} ${tenant}`);
  },
};

async function main(): Promise<void> {
  const given = readArguments();
  if (given.values.help) return console.log(HELP);
  const name = given.positionals[0] ?? '';
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new UsageError(`unknown command: ${name || '(none)'}`);
  const settings = loadSettings(process.env);
  const database = await openDatabase(settings, createLogger('silent'));
  try {
    const config = checkOptions(authConfig, {}, (path, why) => new Error(`${path} ${why}`));
    const auth = createAuth({ database, jwtSecret: settings.jwtSecret, config });
    await database.ready();
    await command(auth, given);
  } finally {
    await database.close();
  }
}

try {
  await main();
} catch (error) {
  if (error instanceof UsageError) console.error(`koagent: ${error.message}\n\n${HELP}`);
  // An expected failure is told in one sentence; a bug with its stack.
  else console.error(error instanceof AppError ? `koagent: ${error.message}` : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
