import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { repositoryRoot } from './folders.js';
import { rolesSql } from './roles-sql.js';

/** Writes deploy/postgres/roles.sql, which compose and Helm apply. */
const file = path.join(repositoryRoot, 'deploy/postgres/roles.sql');
await mkdir(path.dirname(file), { recursive: true });
await writeFile(file, rolesSql());
