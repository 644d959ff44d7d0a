import { writeSync } from 'node:fs';
import type { DestinationStream } from 'pino';

/** From here on lines are written without waiting for the end of the turn. */
const bufferedMax = 8 * 1024;
const readerPauseMs = 20;

/**
 * Writes to a file descriptor once per turn of the event loop instead of once per line: a write costs more than the
 * making of a line. What is buffered is also written at a fatal line and at every exit of the process; only a process
 * that is killed outright loses the lines of its last turn.
 *
 * A reader that is slow is waited for. Where writing fails (a full disk, a pipe whose reader has gone) the lines are lost
 * and the process goes on: what must not be lost is written elsewhere, and a service that stands still until somebody
 * makes room for its lines serves nobody.
 */
export function oncePerTurn(fd: number): DestinationStream & { flushSync(): void } {
  let lines = '';
  let isDue = false;
  let isCut = false;
  const flushSync = () => {
    isDue = false;
    // The rest of a line that was cut off must not run into the next one.
    const bytes = Buffer.from(isCut ? `\n${lines}` : lines);
    lines = '';
    const written = writeWhole(fd, bytes);
    if (written > 0) isCut = written < bytes.length;
  };
  process.on('exit', flushSync);
  return {
    write: (line) => {
      lines += line;
      if (lines.length >= bufferedMax) flushSync();
      if (isDue) return;
      isDue = true;
      setImmediate(flushSync);
    },
    flushSync,
  };
}

/** How much of it was written before writing failed. */
function writeWhole(fd: number, bytes: Buffer): number {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      if (!isReaderSlow(error)) return written;
      Atomics.wait(pause, 0, 0, readerPauseMs);
    }
  }
  return written;
}

const pause = new Int32Array(new SharedArrayBuffer(4));

function isReaderSlow(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EBUSY');
}

let standardOutput: ReturnType<typeof oncePerTurn> | undefined;

/** One for all loggers of the process, so that their lines keep their order. */
export function toStandardOutput(): DestinationStream {
  return (standardOutput ??= oncePerTurn(1));
}
