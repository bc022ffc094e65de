import type { Database, Document } from '../../../core/data/database.ts';
import { jsonField } from '../../../core/data/json.ts';
import type { ModelMessage } from '../../../runtime/models/index.ts';
import type { Citation, MessageStatus } from '../public.ts';

/** One message of a user, or one whole answer with everything that was done for it. */
export interface MessageRecord {
  conversationId: string;
  ownerId: string;
  role: 'user' | 'assistant';
  /** Order within the conversation, without ties: twice the number of the turn, and one more for the answer. */
  position: number;
  /** What people read: of an answer all of its texts. */
  content: string;
  /** Paths of pictures that the user sent along. */
  images?: string[];
  /** Of an answer: the assistant's and the tools' messages in order, as later turns give them to the model. */
  turn?: ModelMessage[];
  citations?: Citation[];
  /** Tokens of an answer. */
  tokens: number;
  /** Model key that answered. */
  modelName?: string;
  pinned: boolean;
  pinnedAt?: Date;
  /** Project whose background it is part of. */
  pinnedIn?: string;
  /** Run that answers, or has answered. */
  runId: string;
  /** Of messages of users always `complete`. */
  status: MessageStatus;
}
export type MessageDocument = MessageRecord & Document & { tenantId: string };

export const messageModel = (database: Database) =>
  database.tenantModel<MessageRecord>(
    'messages',
    {
      conversationId: { type: String, required: true },
      ownerId: { type: String, required: true },
      role: { type: String, required: true },
      position: { type: Number, required: true },
      // Not `required`: mongoose takes an empty text for a missing one.
      content: String,
      images: { type: [String], default: undefined },
      turn: jsonField(),
      citations: jsonField(),
      tokens: { type: Number, required: true },
      modelName: String,
      pinned: { type: Boolean, required: true },
      pinnedAt: Date,
      pinnedIn: String,
      runId: { type: String, required: true },
      status: { type: String, required: true },
    },
    {
      indexes: [
        { fields: { conversationId: 1, position: 1 }, unique: true },
        { fields: { ownerId: 1 } },
        { fields: { pinnedIn: 1, pinnedAt: 1 }, partial: { pinnedIn: { $exists: true } } },
      ],
    },
  );
