import { type Static, Type } from '../schema.ts';
import { defineService } from '../service.ts';
import { type AddressPolicy, createAddressPolicy } from './addresses.ts';

const MIB = 1024 * 1024;

/** Section `outbound` of the manifest. */
export const outboundSchema = Type.Object(
  {
    allow: Type.Array(Type.String(), {
      default: [],
      description: 'address ranges (CIDR) that requests of users may reach beside the open internet',
    }),
    maxResponseBytes: Type.Integer({ minimum: 1024, maximum: 256 * MIB, default: 8 * MIB, description: 'unpacked' }),
    connectMs: Type.Integer({ minimum: 1, maximum: 600_000, default: 10_000, description: 'until connected' }),
    firstByteMs: Type.Integer({ minimum: 1, maximum: 600_000, default: 30_000, description: 'until the headers' }),
    totalMs: Type.Integer({ minimum: 1, maximum: 600_000, default: 60_000, description: 'with all redirects' }),
    maxRedirects: Type.Integer({ minimum: 0, maximum: 20, default: 5 }),
  },
  { default: {} },
);

export type OutboundOptions = Static<typeof outboundSchema>;
export type OutboundLimits = Omit<OutboundOptions, 'allow'>;

export interface OutboundRequest {
  /** Default GET. */
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
  signal?: AbortSignal;
  /** Tighter limits than the operator's; wider ones have no effect. */
  limits?: Partial<OutboundLimits>;
}

export interface OutboundResponse {
  status: number;
  /** Names in lower case; several values of one name are joined with a comma. */
  headers: Record<string, string>;
  /** Unpacked. */
  body: Uint8Array;
  /** Where the answer came from after redirects, without credentials. */
  url: string;
}

/**
 * Requests to addresses that users gave. Connections are made only to addresses that the policy allows, judged on the resolved
 * address at the moment of connecting, for the first request and for every redirect.
 */
export interface Outbound {
  /**
   * Only http and https. Credentials in the URL become a basic authorization. A redirect to another origin takes along neither
   * them nor any header but `accept`, `accept-language`, `content-type` and `user-agent`.
   *
   * @throws {AppError} OUTBOUND_INVALID, OUTBOUND_REFUSED (invalid), OUTBOUND_TIMEOUT, OUTBOUND_TOO_LARGE, OUTBOUND_REDIRECTS,
   *   OUTBOUND_FAILED (unavailable), OUTBOUND_CANCELLED
   */
  request(url: string | URL, request?: OutboundRequest): Promise<OutboundResponse>;
  readonly addresses: AddressPolicy;
  close(): Promise<void>;
}

export const outboundService = defineService<Outbound>('outbound');

/**
 * Makes a client; it is closed with `close`. What it needs for requests is loaded with the first one.
 *
 * @throws {AppError} ADDRESS_RANGE_INVALID
 */
export function createOutbound(
  { allow, ...operator }: OutboundOptions,
  { addresses = createAddressPolicy({ allow }) }: { addresses?: AddressPolicy } = {},
): Outbound {
  let client: Promise<Pick<Outbound, 'request' | 'close'>> | undefined;
  return {
    addresses,
    async request(url, request) {
      client ??= import('./client.ts').then(({ createClient }) => createClient(operator, addresses));
      return (await client).request(url, request);
    },
    close: async () => (await client)?.close(),
  };
}
