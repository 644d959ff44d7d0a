import { readIpAddress } from '@prime-nest/kit/ip-address';
import { z } from 'zod';

const Ip = z.union([z.ipv4(), z.ipv6()]);

export interface ClientAddress {
  /** As recorded: without zone, IPv4-mapped IPv6 as IPv4. Undefined when it is no address at all. */
  readonly ip?: string;
  /** What the rate limit counts by: an IPv4 address, or the /64 that an IPv6 host can choose from at will. */
  readonly key: string;
}

/**
 * `raw`: the peer's address, or what the last trusted proxy said it was. A zone (`fe80::1%eth0`) is a name of this
 * machine and says nothing of the client: it ends here, and contracts know none.
 */
export function clientAddress(raw: string | undefined): ClientAddress {
  const text = (raw ?? '').replace(/%.*$/, '');
  if (!Ip.safeParse(text).success) return { key: 'unknown' };
  const { ip, network } = readIpAddress(text);
  return { ip, key: network };
}
