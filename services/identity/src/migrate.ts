import { migrate } from './migrations/migrate.js';
import { runTask } from './task.js';

await runTask((config, log) => migrate(config, log));
