import { randomUUID } from 'node:crypto';
import type { Database } from '../../core/data/database.ts';
import { AppError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';
import type { Vault } from '../../core/vault.ts';
import { checkConfig } from './config.ts';
import type { Connector } from './connectors/connector.ts';
import type { Connectors } from './connectors/index.ts';
import { ConfigInvalidError, DataSourceError, DataSourceInactiveError, DataSourceNotFoundError } from './errors.ts';
import { type DataSourceDocument, dataSourceModel } from './models/data-source.ts';
import type { DataSource, DataSourceService, DataSourceType } from './public.ts';
import { hideSecrets, redact, restoreSecrets, type Secrets } from './secrets.ts';

export interface ServiceParts {
  database: Database;
  vault: Vault;
  connectors: Connectors;
  log: Logger;
  /** Queries and tests at once in this process; more wait. */
  atOnce: number;
}

/** A successful query writes down the time of contact at most this often. */
const CONTACT_EVERY_MS = 60_000;

export function createDataSourceService({ database, vault, connectors, log, atOnce }: ServiceParts): DataSourceService {
  const sources = dataSourceModel(database);
  const slots = createSlots(atOnce);

  /** Administrators see every source, other accounts their own ones in their tenant. */
  const visible = (principal: Principal) => {
    const isAdmin = principal.kind === 'user' && principal.roles.includes('admin');
    if (isAdmin) return { collection: sources.acrossTenants('administrators see every data source'), own: {} };
    // The server acts for runs of a tenant; whose source it may be is the business of who started the run.
    const own = principal.kind === 'system' ? {} : { ownerId: principal.accountId };
    return { collection: sources.in(principal), own };
  };

  const find = async (principal: Principal, id: string): Promise<DataSourceDocument> => {
    const { collection, own } = visible(principal);
    const found = await collection.findOne({ _id: id, ...own });
    if (!found) throw new DataSourceNotFoundError(id);
    return found;
  };

  const placeOf = ({ tenantId, _id }: Pick<DataSourceDocument, 'tenantId' | '_id'>) => ({ tenantId, objectId: _id });

  const secretsOf = (source: DataSourceDocument): Secrets =>
    source.secrets === null ? {} : JSON.parse(vault.open(source.secrets, placeOf(source)));

  /** Checks a config and takes its secrets out; masks in it stand for `kept`. */
  const prepare = (
    type: DataSourceType,
    config: Record<string, unknown>,
    kept: Secrets,
    place: { tenantId: string; objectId: string },
  ) => {
    const { shown, secrets, lost } = hideSecrets(config, kept);
    if (lost.length > 0) {
      throw new ConfigInvalidError(
        lost.map((path) => ({
          field: ['config', ...path].join('.'),
          message: {
            zh: '没有已保存的密文可以保留，请重新填写',
            en: 'there is no stored secret to keep; give it again',
          },
        })),
      );
    }
    checkConfig(type, restoreSecrets(shown, secrets));
    const isEmpty = Object.keys(secrets).length === 0;
    return { config: shown, secrets: isEmpty ? null : vault.seal(JSON.stringify(secrets), place) };
  };

  const withConnector = async <T>(
    source: DataSourceDocument,
    work: (connector: Connector) => Promise<T>,
    signal?: AbortSignal,
  ) => {
    const { _id: id, tenantId, type, config, revision } = source;
    const target = () => ({ id, tenantId, type, revision, config: restoreSecrets(config, secretsOf(source)) });
    const release = await slots.take(signal);
    try {
      return await connectors.use(id, revision, target, work);
    } catch (error) {
      // Servers quote what they were sent.
      if (!(error instanceof DataSourceError)) throw error;
      const secrets = secretsOf(source);
      const { zh, en } = error.text;
      throw new DataSourceError(error.details?.reason as never, { zh: redact(zh, secrets), en: redact(en, secrets) });
    } finally {
      release();
    }
  };

  return {
    async list(principal, filter, { offset, limit }) {
      const { collection, own } = visible(principal);
      const where = {
        ...own,
        ...(filter.type && { type: filter.type }),
        ...(filter.status && { status: filter.status }),
      };
      const [items, total] = await Promise.all([
        collection.find(where, { sort: { createdAt: -1, _id: -1 }, skip: offset, limit }),
        collection.count(where),
      ]);
      return { items: items.map(view), total };
    },

    get: async (principal, id) => view(await find(principal, id)),

    async create(principal, { name, type, description = null, config }) {
      const _id = randomUUID();
      const stored = prepare(type, config, {}, { tenantId: principal.tenantId, objectId: _id });
      return view(
        await sources.in(principal).insert({
          _id,
          ownerId: principal.accountId,
          name,
          type,
          description,
          ...stored,
          status: 'active',
          revision: 1,
          lastConnectedAt: null,
        }),
      );
    },

    async update(principal, id, { config, ...changes }) {
      const source = await find(principal, id);
      const stored = config && prepare(source.type, config, secretsOf(source), placeOf(source));
      // What was wrong with the connection may not be any more; the next test tells.
      const status = changes.status ?? (stored && source.status === 'error' ? 'active' : undefined);
      const { name, description } = changes;
      const set = {
        ...(name !== undefined && { name }),
        ...(description !== undefined && { description }),
        ...(status !== undefined && { status }),
        ...stored,
      };
      const changed = await sources.in(source).update(
        { _id: id, ownerId: source.ownerId },
        // The number of the revision also moves on when somebody else changed the config meanwhile.
        { ...(Object.keys(set).length > 0 && { $set: set }), ...(stored && { $inc: { revision: 1 } }) },
      );
      if (!changed) throw new DataSourceNotFoundError(id);
      if (stored || status === 'inactive') connectors.drop(id);
      return view(changed);
    },

    async delete(principal, id) {
      const source = await find(principal, id);
      if ((await sources.in(source).delete({ _id: id })) === 0) throw new DataSourceNotFoundError(id);
      connectors.drop(id);
    },

    async test(principal, id, signal) {
      const source = await find(principal, id);
      let failure: AppError | undefined;
      try {
        await withConnector(source, (connector) => connector.test(signal), signal);
      } catch (error) {
        if (!(error instanceof AppError) || error.kind === 'cancelled') throw error;
        failure = error;
        log.info({ dataSourceId: id, code: error.code, ...error.details }, 'data source test failed');
      }
      await sources
        .in(source)
        .update(
          { _id: id, revision: source.revision, status: { $ne: 'inactive' } },
          { $set: { status: failure ? 'error' : 'active', ...(!failure && { lastConnectedAt: new Date() }) } },
        );
      return failure
        ? { status: 'failed', message: failure.text }
        : { status: 'success', message: { zh: '连接成功', en: 'Connected' } };
    },

    async query(principal, id, query, signal) {
      const source = await find(principal, id);
      if (source.status === 'inactive') throw new DataSourceInactiveError();
      const result = await withConnector(source, (connector) => connector.query(query, signal), signal);
      const now = new Date();
      if (now.getTime() - (source.lastConnectedAt?.getTime() ?? 0) > CONTACT_EVERY_MS) {
        await sources.in(source).update({ _id: id }, { $set: { lastConnectedAt: now } });
      }
      return result;
    },
  };
}

const view = ({
  _id,
  tenantId: _tenant,
  secrets: _secrets,
  revision: _revision,
  ...rest
}: DataSourceDocument): DataSource => ({
  id: _id,
  ...rest,
});

/** Answers are held in memory: only so many at once. */
function createSlots(count: number) {
  const waiting: (() => void)[] = [];
  let free = count;
  const release = () => {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  };
  return {
    async take(signal?: AbortSignal): Promise<() => void> {
      if (free > 0) free -= 1;
      else if (waiting.length >= MAX_WAITING) {
        throw new DataSourceError('busy', { zh: '查询过多，请稍后再试', en: 'Too many queries, try again later' });
      } else await new Promise<void>((resolve) => waiting.push(resolve));
      if (signal?.aborted) {
        release();
        throw new AppError('cancelled', 'DATA_SOURCE_CANCELLED', { zh: '查询已取消', en: 'The query was cancelled' });
      }
      return release;
    },
  };
}

const MAX_WAITING = 1000;
