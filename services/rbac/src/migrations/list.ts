import { Init0001 } from './0001-init.js';

/** Every migration, oldest first. */
export const rbacMigrations = [Init0001] as const;
