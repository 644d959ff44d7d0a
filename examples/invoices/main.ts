/**
 * A service behind the gateway: `node examples/invoices/main.ts`. Reads PORT, GATEWAY_URL and, for NATS, NATS_URL with
 * NATS_NKEY_SEED.
 */
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { Door } from './door.ts';
import { GatewayKeys } from './gateway-keys.ts';
import { Ledger } from './ledger.ts';
import { serveHttp } from './over-http.ts';
import { serveNats } from './over-nats.ts';

const { PORT = '4010', GATEWAY_URL = 'http://127.0.0.1:3000', NATS_URL, NATS_NKEY_SEED } = process.env;
const log = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);

const door = new Door(new GatewayKeys(GATEWAY_URL));
const ledger = new Ledger();
const server = serveHttp(door, ledger, log);
server.listen(Number(PORT), '127.0.0.1', () => log({ event: 'http.listening', port: Number(PORT) }));

if (NATS_URL !== undefined && NATS_NKEY_SEED !== undefined) {
  const connection = await connect({
    servers: NATS_URL,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(NATS_NKEY_SEED)),
    inboxPrefix: '_INBOX.ext-invoices',
    maxReconnectAttempts: -1,
  });
  serveNats(connection, door, ledger, log);
  await connection.flush();
  log({ event: 'nats.listening' });
}
