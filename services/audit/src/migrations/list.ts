import { Init1764000000000 } from './0001-init.js';
import { OutboxReceipts1764500000003 } from './0002-outbox-receipts.js';
import { SourceRecords1764500000004 } from './0003-source-records.js';
import { Retirement1765000000005 } from './0004-retirement.js';
import { LeafRuns1766000000006 } from './0005-leaf-runs.js';
import { AbandonedEpochs1766000000007 } from './0006-abandoned-epochs.js';
import { OutboxProofs1766000000008 } from './0007-outbox-proofs.js';

/** In the order in which they are applied. */
export const auditMigrations = [
  Init1764000000000,
  OutboxReceipts1764500000003,
  SourceRecords1764500000004,
  Retirement1765000000005,
  LeafRuns1766000000006,
  AbandonedEpochs1766000000007,
  OutboxProofs1766000000008,
];
