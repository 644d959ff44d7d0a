import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { repositoryRoot } from './folders.js';
import { deployedNatsConfig } from './nats-config.js';

/** Writes deploy/nats/nats.conf, which compose and Helm mount. */
const file = path.join(repositoryRoot, 'deploy/nats/nats.conf');
await mkdir(path.dirname(file), { recursive: true });
await writeFile(file, deployedNatsConfig());
