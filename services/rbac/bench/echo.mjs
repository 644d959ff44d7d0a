/**
 * The least that answering over NATS can cost: subscribed like the service, it answers every request with a text that
 * is exactly as long as the service's answer, and looks at nothing. Started by the bench.
 */
import process from 'node:process';
import { TextEncoder } from 'node:util';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';

const { NATS_URL: servers, SEED, REPLIES } = process.env;
const authenticator = nkeyAuthenticator(new TextEncoder().encode(SEED));
const connection = await connect({ servers, authenticator, inboxPrefix: '_INBOX.audit', noAsyncTraces: true });
/** Request length → reply. */
const replies = new Map(JSON.parse(REPLIES));
connection.subscribe('audit.event.get.v1', {
  queue: 'audit',
  callback: (_error, message) => message.respond(replies.get(message.data.length)),
});
await connection.flush();
process.send('ready');
