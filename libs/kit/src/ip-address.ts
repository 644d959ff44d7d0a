export interface IpAddress {
  /** IPv4-mapped IPv6 as IPv4. */
  readonly ip: string;
  /** One household or host: the address itself for IPv4, the /64 for IPv6, whose owner has 2^64 addresses. */
  readonly network: string;
}

/**
 * Reads an address, without a zone, in any of its spellings. No text makes it throw; what is no address belongs to no
 * network of anybody.
 */
export function readIpAddress(ip: string): IpAddress {
  if (!ip.includes(':')) return { ip, network: ip };
  const groups = groupsOf(ip);
  const ipv4 = mappedIpv4(groups);
  if (ipv4 !== undefined) return { ip: ipv4, network: ipv4 };
  const network = groups.slice(0, 4).map((group) => group.toString(16));
  return { ip, network: `${network.join(':')}::/64` };
}

/** The IPv4 address inside an IPv4-mapped one (RFC 4291 §2.5.5.2), however it is written. */
function mappedIpv4(groups: readonly number[]): string | undefined {
  const [high = 0, low = 0] = groups.slice(6);
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  return isMapped ? [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.') : undefined;
}

/** The eight groups of an IPv6 address in any of its spellings (RFC 4291 §2.2). */
function groupsOf(ip: string): number[] {
  const [head = [], tail = []] = ip.split('::', 2).map((part) => part.split(':').filter((group) => group !== ''));
  const left = head.flatMap(numbersOf);
  const right = tail.flatMap(numbersOf);
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
}

/** An embedded IPv4 address stands for two groups. */
function numbersOf(group: string): number[] {
  if (!group.includes('.')) return [Number.parseInt(group, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
  return [(a << 8) | b, (c << 8) | d];
}
