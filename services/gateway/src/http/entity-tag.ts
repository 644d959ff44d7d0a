const entityTag = /^"(\d{1,9})"$/;

/** The version that an `If-Match` names (RFC 9110 §13.1.1): one strong tag of ours, or undefined for anything else. */
export function versionOf(ifMatch: string): number | undefined {
  const version = Number(entityTag.exec(ifMatch)?.[1] ?? 0);
  return version < 1 ? undefined : version;
}
