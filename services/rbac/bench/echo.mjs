/**
 * The least that answering over NATS can cost: subscribed like the service, it answers every request with a text that
 * is exactly as long as the service's answer, and looks at nothing. On a second subject it reads headers and JSON with
 * the client and answers JSON, as anything must that understands the question; it checks and decides nothing. Started
 * by the bench.
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
const decision = { revision: 1, decisions: [{ effect: 'allow' }] };
connection.subscribe('audit.event.search.v1', {
  queue: 'audit',
  callback: (_error, message) => {
    const isLate = Number(message.headers?.get('Pn-Deadline')) < Date.now();
    const { checks } = message.json();
    message.respond(JSON.stringify(isLate || checks.length === 0 ? {} : decision));
  },
});
await connection.flush();
process.send('ready');
