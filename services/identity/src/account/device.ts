import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';

/**
 * A device token says "this device has signed in to this account before". It moves the device's failed attempts to a
 * counter of their own and opens nothing: `dt1.<device id>.<keyed hash>`.
 */
export function mintDeviceToken(key: KeyObject, accountId: string, deviceId: string): string {
  return `dt1.${deviceId}.${seal(key, accountId, deviceId)}`;
}

/** The device id, if the token was minted for this account. */
export function readDeviceToken(key: KeyObject, accountId: string, deviceToken: string): string | undefined {
  const match = /^dt1\.([0-9a-f-]{36})\.([A-Za-z0-9_-]{43})$/.exec(deviceToken);
  const [, deviceId, presented] = match ?? [];
  if (deviceId === undefined || presented === undefined) return undefined;
  const expected = seal(key, accountId, deviceId);
  return timingSafeEqual(Buffer.from(presented), Buffer.from(expected)) ? deviceId : undefined;
}

function seal(key: KeyObject, accountId: string, deviceId: string): string {
  return createHmac('sha256', key).update(`dt1\n${accountId}\n${deviceId}`).digest('base64url');
}
