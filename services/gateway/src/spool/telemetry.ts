import { counter, observed } from '@prime-nest/kit/telemetry-metrics';
import { eventSource, eventTypes } from '@prime-nest/contracts/events';

const known = eventTypes.filter((type) => eventSource(type) === 'gateway').map((type) => ({ type }));

export const recordedEvents = counter({
  name: 'prime_nest_spool_recorded_total',
  help: 'Events of this gateway that are on its disk, by type; those counted in one line are counted here one by one',
  labels: ['type'],
  known,
});

export const lostEvents = counter({
  name: 'prime_nest_spool_lost_total',
  help: 'Events of this gateway that could not be kept, by type',
  labels: ['type'],
  known,
});

export const unwritable = observed({
  name: 'prime_nest_spool_unwritable_seconds',
  help: 'Time since the spool could last be written; 0 while it can',
});

export const lag = observed({
  name: 'prime_nest_spool_lag_seconds',
  help: 'Time since everything in the spool was published; 0 while it is',
});

export const unreceipted = observed({
  name: 'prime_nest_spool_pending_events',
  help: 'Lines on the disk that the audit log has not confirmed yet',
});

export const used = observed({
  name: 'prime_nest_spool_used_ratio',
  help: 'Share of the spool that is in use',
});
