import pinoPretty from 'pino-pretty';

const colours = ['\u001b[36m', '\u001b[32m', '\u001b[35m', '\u001b[33m', '\u001b[34m'] as const;

/** Rendered elsewhere on the line, or of no use to a reader; everything is in the log files. */
const hidden = new Set([
  'level',
  'time',
  'msg',
  'err',
  'service',
  'correlationId',
  'traceId',
  'spanId',
  'pid',
  'hostname',
]);

interface Entry {
  readonly level?: unknown;
  readonly msg?: unknown;
  readonly traceId?: unknown;
  readonly err?: { readonly message?: unknown; readonly stack?: unknown };
}

/**
 * Renders the services' JSON lines as one log: who, when, how bad, what, and the fields on the same line. Nothing in
 * a line can steer the terminal.
 */
export function createLogView(colour: boolean): (name: string, line: string) => string {
  const pretty = pinoPretty.prettyFactory({ colorize: colour, translateTime: 'SYS:HH:MM:ss.l', hideObject: true });
  const dim = (text: string): string => (colour ? `\u001b[2m${text}\u001b[0m` : text);
  const seen: string[] = [];
  const label = (name: string): string => {
    if (!seen.includes(name)) seen.push(name);
    const paint = colours[seen.indexOf(name) % colours.length] as string;
    const padded = name.padEnd(10);
    return colour ? `${paint}${padded}\u001b[0m` : padded;
  };
  return (name, line) => {
    const entry = parse(line);
    if (entry === undefined) return `${label(name)} ${printable(line)}`;
    const head = pretty({
      ...entry,
      msg: printable(typeof entry.msg === 'string' ? entry.msg : ''),
      err: undefined,
    }).trimEnd();
    return [label(name), head, dim(fields(entry)), ...stack(entry)].filter((part) => part !== '').join(' ');
  };
}

/** `route=/api/users status=200 trace=3b1445ce`; the first eight digits are enough to find the rest in the files. */
function fields(entry: Entry): string {
  const shown = Object.entries(entry).filter(([key]) => !hidden.has(key));
  const words = shown.map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  if (entry.err?.message !== undefined) words.unshift(`error=${JSON.stringify(entry.err.message)}`);
  if (typeof entry.traceId === 'string') words.push(`trace=${entry.traceId.slice(0, 8)}`);
  return printable(words.join(' '));
}

function stack({ err }: Entry): string[] {
  const frames = typeof err?.stack === 'string' ? err.stack.split('\n').slice(1) : [];
  return frames.map((frame) => `\n    ${printable(frame.trim())}`);
}

function parse(line: string): Entry | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' && entry !== null && 'level' in entry ? entry : undefined;
  } catch {
    return undefined; // not a log entry: a warning of Node, say
  }
}

function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}
