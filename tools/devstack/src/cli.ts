import { parseArgs } from 'node:util';
import { dataCommand } from './command-data.js';
import { doctorCommand } from './command-doctor.js';
import { keysCommand } from './command-keys.js';
import { resetCommand } from './command-reset.js';
import { startCommand } from './command-start.js';
import { traceCommand } from './command-trace.js';
import { parseReplicas } from './service-plan.js';

const usage = `usage: npm start -- [--replicas rbac=3,audit=2] [--json | --quiet]
       npm run reset -- [--yes]
       npm run keys -- <folder> | --stdout
       npm run trace -- [<trace id>] [--json]
       npm run migrate | npm run seed | npm run doctor
Environment: PORT (0 = any), ADMIN_EMAIL, ADMIN_PASSWORD, PRIME_NEST_HOME, DATABASE_URL, NATS_URL, REDIS_URL,
             POSTGRES_BIN, NATS_SERVER_BIN, REDIS_SERVER_BIN, JAEGER_BIN, DEVSTACK_CACHE, DEVSTACK_FETCH=0`;

const options = {
  replicas: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  quiet: { type: 'boolean' },
  yes: { type: 'boolean' },
  stdout: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ args: process.argv.slice(2), options, allowPositionals: true });
  const [command, argument] = positionals;
  const { env } = process;
  if (values.help === true) {
    console.log(usage);
    return 0;
  }
  switch (command) {
    case 'start': {
      const mode = values.json === true ? 'json' : values.quiet === true ? 'quiet' : 'text';
      return startCommand({ env, mode, replicas: parseReplicas((values.replicas ?? []).join(',')) });
    }
    case 'trace':
      return traceCommand({ env, traceId: argument, isJson: values.json === true });
    case 'reset':
      return resetCommand(env, values.yes === true);
    case 'keys':
      return keysCommand(values.stdout === true ? '--stdout' : argument);
    case 'migrate':
    case 'seed':
      return dataCommand(command, env);
    case 'doctor':
      return doctorCommand(env);
    case undefined:
    default:
      console.error(usage);
      return 2;
  }
}

try {
  process.exit(await main());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
