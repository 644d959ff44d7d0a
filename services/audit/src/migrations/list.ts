import { Init1764000000000 } from './0001-init.js';

/** In the order in which they are applied. */
export const auditMigrations = [Init1764000000000];
