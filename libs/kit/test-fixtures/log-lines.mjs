/** Writes numbered lines in one turn of the event loop, then ends as the argument says; for the tests of the log. */
import { writeSync } from 'node:fs';
import { createLogger } from '@prime-nest/kit/log';

const log = createLogger({ service: 'demo', level: 'info' });
const other = createLogger({ service: 'other', level: 'info' });
for (let i = 0; i < 1_000; i++) (i % 2 === 0 ? log : other).info({ attempt: i }, 'test.line');
// In the same turn, past the logger: what stands before it in the output was not kept back.
if (process.argv[2] !== 'unread') writeSync(1, 'end of the turn\n');
const endings = {
  returns: () => undefined,
  unread: () => undefined,
  exits: () => process.exit(0),
  throws: () => {
    throw new Error('thrown');
  },
};
endings[process.argv[2]]();
