import pinoPretty from 'pino-pretty';

const colours = ['\u001b[36m', '\u001b[32m', '\u001b[35m', '\u001b[33m', '\u001b[34m'] as const;

/** What a person does not read; everything is in the log files. */
const hidden = ['pid', 'hostname', 'service', 'spanId', 'v', 'trace_id', 'span_id', 'trace_flags'];

/**
 * Renders the services' JSON lines as one log: who, when, how bad, what, and the fields on the same line. Other output
 * is shown as it is, without anything that could steer a terminal.
 */
export function createLogView(colour: boolean): (name: string, line: string) => string {
  const pretty = pinoPretty.prettyFactory({
    colorize: colour,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: hidden.join(','),
  });
  const seen: string[] = [];
  const label = (name: string): string => {
    if (!seen.includes(name)) seen.push(name);
    const paint = colours[seen.indexOf(name) % colours.length] as string;
    const padded = name.padEnd(10);
    return colour ? `${paint}${padded}\u001b[0m` : padded;
  };
  return (name, line) => `${label(name)} ${isEntry(line) ? pretty(line).trimEnd() : printable(line)}`;
}

function isEntry(line: string): boolean {
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' && entry !== null && 'level' in entry;
  } catch {
    return false;
  }
}

function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}
