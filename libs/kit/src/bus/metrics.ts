import { counter, gauge, histogram } from '../telemetry-metrics.js';

/** Rate, errors and duration of calls, by subject and outcome (`ok` or the error code), on both sides. */
const labels = ['rpc_method', 'rpc_status_code'] as const;

export const serverCalls = histogram({
  name: 'rpc_server_call_duration_seconds',
  help: 'Time from the arrival of a request to its answer',
  labels,
});

export const clientCalls = histogram({
  name: 'rpc_client_call_duration_seconds',
  help: 'Time from sending a request to its answer, or to giving up',
  labels,
});

export const callsInFlight = gauge({ name: 'rpc_server_active_requests', help: 'Requests being served' });

export const callsExpired = counter({
  name: 'rpc_server_expired_total',
  help: 'Requests that arrived after their deadline and were not served',
  labels: ['rpc_method'],
});

export const busConnected = gauge({
  name: 'bus_connected_ratio',
  help: '1 while the connection to NATS stands, 0 while it is lost',
});
