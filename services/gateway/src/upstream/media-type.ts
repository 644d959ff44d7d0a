const parameters =
  /^(?:[ \t]*;[ \t]*[A-Za-z0-9!#$&^_.+-]+=(?:[A-Za-z0-9!#$&^_.+-]+|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))*$/;
const utf8Only = /^(?:[ \t]*;[ \t]*charset="?utf-8"?)?[ \t]*$/i;

/**
 * The media type of a `Content-Type` (RFC 9110 §8.3.1) without parameters, in small letters, or undefined when it is
 * not exactly one well-formed type. JSON is UTF-8 and may say so, and nothing else.
 */
export function essenceOf(header: string): string | undefined {
  const at = header.indexOf(';');
  const essence = (at === -1 ? header : header.slice(0, at)).trim().toLowerCase();
  const rest = at === -1 ? '' : header.slice(at);
  if (header.length > 256 || !/^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/.test(essence)) return undefined;
  return (isJson(essence) ? utf8Only : parameters).test(rest) ? essence : undefined;
}

export function isJson(essence: string): boolean {
  return essence === 'application/json' || essence.endsWith('+json');
}
