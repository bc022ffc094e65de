import type { Database, Document } from '../../../core/data/database.ts';

export interface AgentRecord {
  ownerId: string;
  name: string;
  description: string | null;
  promptTemplate: string;
  model: { provider: string; name: string; temperature: number; maxTokens: number };
  /** What belongs to it elsewhere is being removed; nobody sees it any more. */
  deleted: boolean;
}
export type AgentDocument = AgentRecord & Document & { tenantId: string };

/** Agents that accounts have made. */
export const agentModel = (database: Database) =>
  database.tenantModel<AgentRecord>(
    'agents',
    {
      ownerId: { type: String, required: true },
      name: { type: String, required: true },
      description: { type: String, default: null },
      promptTemplate: { type: String, required: true },
      model: {
        provider: { type: String, required: true },
        name: { type: String, required: true },
        temperature: { type: Number, required: true },
        maxTokens: { type: Number, required: true },
      },
      deleted: { type: Boolean, required: true },
    },
    {
      indexes: [
        { fields: { ownerId: 1, createdAt: -1 } },
        { fields: { deleted: 1 }, partial: { deleted: true }, acrossTenants: true },
      ],
    },
  );
