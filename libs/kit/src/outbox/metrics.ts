import { counter, observed } from '../telemetry-metrics.js';

export const publishedEvents = counter({
  name: 'outbox_relay_published_total',
  help: 'Events that JetStream has acknowledged',
});

export const relayFailures = counter({
  name: 'outbox_relay_failures_total',
  help: 'Batches that were not published completely, and interruptions of the relay',
});

export const relayLag = observed({
  name: 'outbox_relay_lag_seconds',
  help: 'Age of the oldest committed event that is not published; the same for every replica',
});

export const relayPending = observed({
  name: 'outbox_relay_pending_events',
  help: 'Committed events that are not published; counting stops at 10,000',
});
