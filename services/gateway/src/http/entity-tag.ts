const entityTag = /^"([1-9]\d{0,8})"$/;

/**
 * The version that an `If-Match` names (RFC 9110 §13.1.1): one strong tag in the spelling that we give out, or undefined
 * for anything else. Tags are compared character by character (§8.8.3.2), so `"01"` is not ours.
 */
export function versionOf(ifMatch: string): number | undefined {
  const [, version] = entityTag.exec(ifMatch) ?? [];
  return version === undefined ? undefined : Number(version);
}
