import { z } from 'zod';

const Ipv4 = z.ipv4();
const Ipv6 = z.ipv6();
const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

export interface ClientAddress {
  /** As recorded: without zone, IPv4-mapped IPv6 as IPv4. Undefined when it is no address at all. */
  readonly ip?: string;
  /** What the rate limit counts by: an IPv4 address, or the /64 that an IPv6 host can choose from at will. */
  readonly key: string;
}

/** `raw`: the peer's address, or what the last trusted proxy said it was. */
export function clientAddress(raw: string | undefined): ClientAddress {
  const text = (raw ?? '').replace(/%.*$/, '');
  const ipv4 = mapped.exec(text)?.[1] ?? text;
  if (Ipv4.safeParse(ipv4).success) return { ip: ipv4, key: ipv4 };
  if (Ipv6.safeParse(text).success) return { ip: text, key: `${networkOf(text)}::/64` };
  return { key: 'unknown' };
}

/** The first 64 bits, four groups without leading zeros. */
function networkOf(ip: string): string {
  const [head = '', tail] = ip.toLowerCase().split('::', 2);
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  // An embedded IPv4 address stands for two groups; it can only be at the very end.
  const width = (groups: readonly string[]) => groups.length + (groups.at(-1)?.includes('.') === true ? 1 : 0);
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - width(left) - width(right));
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right].slice(0, 4);
  return groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':');
}
