import type { TenantModel } from '../../../core/data/database.ts';
import type { ProfileService } from '../../agents/public.ts';
import type { TaskRecord } from '../models/task.ts';
import type { ConversationParts } from '../service/parts.ts';
import type { Store } from '../service/store.ts';
import type { Turns } from '../service/turns.ts';
import type { EventIndex } from './event-index.ts';
import type { Images } from './images.ts';
import type { TaskSlots } from './slots.ts';

/** What the tasks API works on. */
export interface TaskParts extends ConversationParts {
  tasks: TenantModel<TaskRecord>;
  profiles: ProfileService;
  store: Store;
  turns: Turns;
  slots: TaskSlots;
  images: Images;
  index: EventIndex;
  /** How long finished tasks can be read, milliseconds. */
  keepMs: number;
}
