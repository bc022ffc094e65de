import type { Database, Document } from '../../../core/data/database.ts';

export type ProfileKind = 'prompt' | 'personalization';

/** A named text of an API account: a prompt as it is, or a personalization as JSON. */
export interface ProfileRecord {
  ownerId: string;
  kind: ProfileKind;
  name: string;
  content: string;
  /** Bytes of the content in UTF-8. */
  size: number;
  /** Counts changes: what was read stays what is changed. */
  revision: number;
}
export type ProfileDocument = ProfileRecord & Document & { tenantId: string };

export const profileModel = (database: Database) =>
  database.tenantModel<ProfileRecord>(
    'agent_profiles',
    {
      ownerId: { type: String, required: true },
      kind: { type: String, required: true },
      name: { type: String, required: true },
      // Not `required`: mongoose takes an empty text for a missing one, and an empty prompt is allowed.
      content: { type: String, default: '' },
      size: { type: Number, required: true },
      revision: { type: Number, required: true },
    },
    { indexes: [{ fields: { ownerId: 1, kind: 1, name: 1 }, unique: true }] },
  );
