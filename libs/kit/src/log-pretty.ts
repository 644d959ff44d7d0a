import type { DestinationStream } from 'pino';

const colours: Record<string, string> = { warn: '\u001b[33m', error: '\u001b[31m', fatal: '\u001b[31m' };
const hidden = new Set(['level', 'time', 'service', 'msg']);

/** Turns JSON lines into short lines for a terminal. Values stay JSON-escaped: a log line cannot draw on the screen. */
export function prettyStream(target: DestinationStream): DestinationStream {
  return {
    write: (line) => {
      target.write(format(line));
    },
  };
}

function format(line: string): string {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const level = typeof entry.level === 'string' ? entry.level : 'info';
  const time = typeof entry.time === 'string' ? entry.time.slice(11, 23) : '';
  const fields = Object.keys(entry)
    .filter((key) => !hidden.has(key))
    .map((key) => `${printable(key)}=${printable(JSON.stringify(entry[key]))}`);
  const colour = colours[level] ?? '';
  const message = typeof entry.msg === 'string' ? entry.msg : '';
  const head = `${time} ${colour}${level.padEnd(5)}${colour === '' ? '' : '\u001b[0m'} ${printable(JSON.stringify(entry.service))}`;
  return `${[head, printable(message), ...fields].join(' ')}\n`;
}

function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
