import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The gateways that accept tokens without asking, and until when. */
export class GatewayMembers1700000000002 implements MigrationInterface {
  readonly name = 'GatewayMembers1700000000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
-- One row per life of a gateway process. Logged and committed durably: after a crash of the server, a gateway that
-- still holds its lease must still be waited for.
CREATE TABLE gateway_member (
  id uuid PRIMARY KEY,
  lease_until timestamptz NOT NULL,
  -- Everything up to here is refused by the member.
  acked_sequence bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, DELETE ON gateway_member TO identity;
GRANT UPDATE (lease_until, acked_sequence) ON gateway_member TO identity;`);
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}
