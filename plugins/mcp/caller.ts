import type { Language } from '../../core/contracts/contract.ts';
import type { Logger } from '../../core/log.ts';
import type { Principal } from '../../core/principal.ts';

/** Who sent a message, and what is known of the HTTP request that brought it. */
export interface Caller {
  readonly principal: Principal;
  readonly language: Language;
  readonly ip: string;
  readonly traceId: string;
  readonly log: Logger;
  /** Whether the token is still good. */
  allowed(): Promise<boolean>;
}
