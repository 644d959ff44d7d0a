/** Writes numbered lines in one turn of the event loop, then ends as the argument says; for the tests of the log. */
import { writeSync } from 'node:fs';
import { setImmediate } from 'node:timers';
import { createLogger } from '@prime-nest/kit/log';

const log = createLogger({ service: 'demo', level: 'info' });
const other = createLogger({ service: 'other', level: 'info' });
for (let i = 0; i < 1_000; i++) (i % 2 === 0 ? log : other).info({ attempt: i }, 'test.line');
// In the same turn, past the logger: what stands before it in the output was not kept back.
if (!['unread', 'continues'].includes(process.argv[2])) writeSync(1, 'end of the turn\n');
// Few lines of later turns, too: they are written another way than many at once.
const later = (left) => (left === 0 ? process.stderr.write('still serving') : setImmediate(goOn, left));
const goOn = (left) => {
  log.info({ attempt: left }, 'test.line');
  later(left - 1);
};
const endings = {
  continues: () => later(3),
  returns: () => undefined,
  unread: () => undefined,
  exits: () => process.exit(0),
  throws: () => {
    throw new Error('thrown');
  },
};
endings[process.argv[2]]();
