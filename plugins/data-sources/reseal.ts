import type { Database } from '../../core/data/database.ts';
import { keyIdOf, type Vault } from '../../core/vault.ts';
import { dataSourceModel } from './models/data-source.ts';

/**
 * Encrypts the stored secrets of all tenants with the vault's active key; those that have it already stay as they are. Works beside
 * a running server: a secret that is changed meanwhile is left alone, and found by the next round.
 *
 * @returns how many were encrypted again, and the ids of the keys that all of them have now
 */
export async function resealSecrets(database: Database, vault: Vault): Promise<{ count: number; keys: Set<string> }> {
  const sources = dataSourceModel(database);
  const all = sources.acrossTenants('rotation of the key reaches every secret');
  let count = 0;
  for (;;) {
    let stale = false;
    const keys = new Set<string>();
    for await (const { _id, tenantId, secrets } of all.iterate({ secrets: { $ne: null } })) {
      if (secrets === null) continue;
      keys.add(keyIdOf(secrets));
      if (!vault.isStale(secrets)) continue;
      stale = true;
      const place = { tenantId, objectId: _id };
      const fresh = vault.seal(vault.open(secrets, place), place);
      if (await sources.in({ tenantId }).update({ _id, secrets }, { $set: { secrets: fresh } })) count += 1;
    }
    // Done when a round finds nothing to do: only then nothing needs the old keys any more.
    if (!stale) return { count, keys };
  }
}
