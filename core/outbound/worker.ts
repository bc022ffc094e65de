import type { Outbound, OutboundOptions } from './outbound.ts';

/** Makes the client of a worker thread from the operator's options; the libraries are loaded with its first request. */
export default (options: OutboundOptions): Pick<Outbound, 'request'> => {
  let client: Promise<Outbound> | undefined;
  return {
    async request(url, request) {
      client ??= import('./outbound.ts').then(({ createOutbound }) => createOutbound(options));
      return (await client).request(url, request);
    },
  };
};
