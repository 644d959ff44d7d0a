import { describe, expect, test } from '@jest/globals';
import { clientAddress } from './client-address.js';

describe('a client address', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7', '203.0.113.7'],
    ['::FFFF:cb00:7107', '203.0.113.7', '203.0.113.7'],
    ['2001:DB8:0001:0002::1', '2001:DB8:0001:0002::1', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80::1', 'fe80:0:0:0::/64'],
  ])('%s is recorded as %s and counted as %s', (raw, ip, key) => {
    expect(clientAddress(raw)).toEqual({ ip, key });
  });

  test.each([undefined, '', 'unknown', '203.0.113.256', '1.2.3.4, 5.6.7.8', "' or 1=1"])('%j is no address', (raw) => {
    expect(clientAddress(raw)).toEqual({ key: 'unknown' });
  });
});
