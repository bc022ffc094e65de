import { createOutbound, type Outbound, type OutboundOptions } from './outbound.ts';

/** Makes the client of a worker thread from the operator's options. */
export default (options: OutboundOptions): Pick<Outbound, 'request'> => createOutbound(options);
