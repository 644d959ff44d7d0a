import { pino } from 'pino';
import type { DestinationStream } from 'pino';

/** From here on lines are written without waiting for the end of the turn. */
const bufferedMax = 8 * 1024;

/**
 * Writes to a file descriptor once per turn of the event loop instead of once per line: a write costs more than the
 * making of a line. What is buffered is also written at a fatal line and at every exit of the process; only a process
 * that is killed outright loses the lines of its last turn.
 */
export function oncePerTurn(fd: number): DestinationStream & { flushSync(): void } {
  const file = pino.destination({ dest: fd, sync: true, minLength: bufferedMax });
  // Kept here and not there: the file measures all that it holds again for every line.
  let lines = '';
  let isDue = false;
  const handOver = () => {
    const text = lines;
    lines = '';
    if (text !== '') file.write(text);
  };
  const flushSync = () => {
    isDue = false;
    try {
      handOver();
      file.flushSync();
    } catch (error) {
      // Where the stream expects its errors: it goes quiet when the reader of a pipe has gone.
      file.emit('error', error);
    }
  };
  process.on('exit', flushSync);
  return {
    write: (line) => {
      lines += line;
      if (lines.length >= bufferedMax) handOver();
      if (isDue) return;
      isDue = true;
      setImmediate(flushSync);
    },
    flushSync,
  };
}

let standardOutput: ReturnType<typeof oncePerTurn> | undefined;

/** One for all loggers of the process, so that their lines keep their order. */
export function toStandardOutput(): DestinationStream {
  return (standardOutput ??= oncePerTurn(1));
}
