import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { repositoryRoot } from './folders.js';
import { deployedNatsConfig, deployedNatsUsers } from './nats-config.js';
import { parseUpstreamUsers } from './upstreams.js';

/**
 * Writes deploy/nats/nats.conf, which compose and Helm mount, and users.conf for servers of somebody else. With `<upstream>=<public nkey>` for services of one's own
 * it prints that file with a user for each of them instead: `node dist/generate-nats-conf.js invoices=UB…`.
 */
const own = process.argv.slice(2);
if (own.length > 0) {
  process.stdout.write(deployedNatsConfig(parseUpstreamUsers(own)));
} else {
  const folder = path.join(repositoryRoot, 'deploy/nats');
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'nats.conf'), deployedNatsConfig());
  await writeFile(path.join(folder, 'users.conf'), deployedNatsUsers());
}
