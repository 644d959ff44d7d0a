import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { repositoryRoot } from './folders.js';
import { deployedNatsConfig } from './nats-config.js';
import { parseUpstreamUsers } from './upstreams.js';

/**
 * Writes deploy/nats/nats.conf, which compose and Helm mount. With `<upstream>=<public nkey>` for services of one's own
 * it prints that file with a user for each of them instead: `node dist/generate-nats-conf.js invoices=UB…`.
 */
const own = process.argv.slice(2);
if (own.length > 0) {
  process.stdout.write(deployedNatsConfig(parseUpstreamUsers(own)));
} else {
  const file = path.join(repositoryRoot, 'deploy/nats/nats.conf');
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, deployedNatsConfig());
}
