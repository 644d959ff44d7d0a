import { createWriteStream, renameSync, statSync } from 'node:fs';
import type { WriteStream } from 'node:fs';
import path from 'node:path';

const fileBytesMax = 10_000_000;
const linesKeptMax = 20_000;

/** The services' own log lines, as they wrote them: in a file each, in memory, and to whoever listens. */
export interface ServiceLogs {
  add(name: string, line: string): void;
  /** The lines of one process (`rbac-2`), or of all processes of a service (`rbac`). */
  lines(name: string): string[];
  file(name: string): string;
  close(): Promise<void>;
}

export function createServiceLogs(folder: string, listen: (name: string, line: string) => void): ServiceLogs {
  const files = new Map<string, WriteStream>();
  const kept: { name: string; line: string }[] = [];
  const file = (name: string): string => path.join(folder, `${name}.log`);
  const stream = (name: string): WriteStream => {
    const open = files.get(name) ?? openLog(file(name));
    files.set(name, open);
    return open;
  };
  return {
    file,
    add(name, line) {
      stream(name).write(`${line}\n`);
      kept.push({ name, line });
      if (kept.length > linesKeptMax) kept.splice(0, linesKeptMax / 10);
      listen(name, line);
    },
    lines: (name) =>
      kept.filter((entry) => entry.name === name || isReplicaOf(entry.name, name)).map(({ line }) => line),
    close: async () => {
      await Promise.all([...files.values()].map((open) => new Promise((resolve) => open.end(resolve))));
    },
  };
}

function isReplicaOf(name: string, service: string): boolean {
  return name.startsWith(`${service}-`);
}

/** A log that has grown large moves aside at the next start, in place of the one before it. */
function openLog(file: string): WriteStream {
  const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes > fileBytesMax) renameSync(file, `${file}.old`);
  return createWriteStream(file, { flags: 'a', mode: 0o600 });
}
