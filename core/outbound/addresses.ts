import { lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { AppError } from '../errors.ts';
import { addressRefused } from './errors.ts';

/** Which addresses a connection may be made to. */
export interface AddressPolicy {
  /** Whether a connection to this address (text of IPv4 or IPv6) may be made. */
  allows(address: string): boolean;
  /**
   * Resolves a name as `dns.lookup` does and fails when one of its addresses is refused. To be given to the socket itself, so that
   * what is checked is what is connected to. Sockets never look up a host that is an address: use `checkHost` first.
   */
  readonly lookup: LookupFunction;
  /** Refuses a host that is a literal address and not allowed; names pass, `lookup` judges them. @throws {AppError} OUTBOUND_REFUSED */
  checkHost(host: string): void;
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = [Address, number];

/** Public by their range, but answered by the machine's own cloud: Azure's wire server. */
const NOT_PUBLIC = new Set(['168.63.129.16']);

export interface AddressPolicyOptions {
  /** `public`: only addresses of the open internet. `any`: every one. `none`: none. Default `public`. */
  base?: 'public' | 'any' | 'none';
  /** Ranges allowed beside the base, as CIDR or single addresses: `10.1.0.0/16`, `::1`. */
  allow?: readonly string[];
  /** For tests. Default: the system's resolver. */
  resolve?: typeof systemLookup;
}

/**
 * Judges addresses.
 *
 * @throws {AppError} ADDRESS_RANGE_INVALID for a range that cannot be read
 */
export function createAddressPolicy({
  base = 'public',
  allow = [],
  resolve = systemLookup,
}: AddressPolicyOptions = {}): AddressPolicy {
  const ranges = allow.map(parseRange);

  const allows = (text: string): boolean => {
    const address = readAddress(text);
    if (address === undefined) return false;
    if (base === 'any' || ranges.some((range) => contains(range, address))) return true;
    return base === 'public' && isPublic(address);
  };

  const lookup: LookupFunction = (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error || first === undefined) {
        const reason = error ?? Object.assign(new Error('no address'), { code: 'ENOTFOUND' });
        callback(reason, '', 0);
      } else if (!addresses.every(({ address }) => allows(address))) {
        // One refused address among public ones is how a name is made to change its mind.
        callback(addressRefused(hostname), '', 0);
      } else if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };

  return {
    allows,
    lookup,
    checkHost(host) {
      const literal = host.replace(/^\[(.*)\]$/, '$1');
      if (isIP(literal) !== 0 && !allows(literal)) throw addressRefused(host);
    },
  };
}

/** IPv4 in its mapped form counts as what it is. */
function readAddress(text: string): Address | undefined {
  if (isIP(text) === 0) return undefined;
  const address = ipaddr.parse(text);
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/**
 * Every range with a purpose of its own is refused: private, shared, loopback, link-local (cloud metadata), multicast, reserved,
 * and the IPv6 forms that carry an IPv4 address (NAT64, 6to4, Teredo, translated), whichever address they carry.
 */
function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast' || NOT_PUBLIC.has(address.toString())) return false;
  // Global unicast is 2000::/3 so far; what lies outside, also `::a.b.c.d`, leads nowhere good.
  return address instanceof ipaddr.IPv4 || address.match([ipaddr.IPv6.parse('2000::'), 3]);
}

const contains = ([network, bits]: Range, address: Address) =>
  network.kind() === address.kind() && (address as ipaddr.IPv6).match(network as ipaddr.IPv6, bits);

function parseRange(text: string): Range {
  try {
    if (text.includes('/')) return ipaddr.parseCIDR(text);
    const address = ipaddr.parse(text);
    return [address, address.kind() === 'ipv4' ? 32 : 128];
  } catch (error) {
    throw new AppError(
      'invalid',
      'ADDRESS_RANGE_INVALID',
      {
        zh: `地址范围 ${text} 无法识别，应类似 10.1.0.0/16`,
        en: `The address range ${text} cannot be read; it should look like 10.1.0.0/16`,
      },
      { cause: error },
    );
  }
}
