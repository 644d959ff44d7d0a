import { counter, gauge, histogram, observed } from '@prime-nest/kit/telemetry-metrics';

/** Names of our own in the spans of audit. */
export const mark = {
  index: 'audit.index',
  outcome: 'audit.outcome',
  treeSize: 'audit.tree_size',
} as const;

export const recorded = counter({
  name: 'prime_nest_audit_recorded_total',
  help: 'Events that became entries, and messages put into quarantine',
  labels: ['kind'],
  known: [{ kind: 'entry' }, { kind: 'quarantined' }],
});

export const recordingDelay = histogram({
  name: 'prime_nest_audit_recording_delay_seconds',
  help: 'Time from an event to the commit of its entry',
  buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600],
});

export const parkedEvents = gauge({
  name: 'prime_nest_audit_parked_events',
  help: 'Events of the last batch that wait for a predecessor which has not come',
});

export const sequencerPending = observed({
  name: 'prime_nest_sequencer_pending_messages',
  help: 'Messages in the stream, each of one event or several, that the sequencer has not settled; the same for every replica',
});

export const sequencerLeading = observed({
  name: 'prime_nest_sequencer_leading_ratio',
  help: '1 in the replica that sequences, 0 in the others',
});

export const logSize = observed({ name: 'prime_nest_audit_log_events', help: 'Entries in the log' });

export const checkpointAge = observed({
  name: 'prime_nest_checkpoint_age_seconds',
  help: 'Age of the oldest entry that no signed checkpoint covers; 0 when all are covered',
});

export const checkpoints = counter({
  name: 'prime_nest_checkpoints_total',
  help: 'Attempts to sign the log, by outcome: signed, refused (the log contradicts itself), failed',
  labels: ['outcome'],
  known: [{ outcome: 'signed' }, { outcome: 'refused' }, { outcome: 'failed' }],
});
