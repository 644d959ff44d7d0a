import { randomBytes, type KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Module, type DynamicModule } from '@nestjs/common';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '@prime-nest/kit/clock';
import type { Database } from '@prime-nest/kit/database';
import { type Clocks, systemClocks } from '@prime-nest/kit/lease';
import type { Logger } from '@prime-nest/kit/log';
import { createOutbox, type Outbox } from '@prime-nest/kit/outbox/outbox';
import type { Secret } from '@prime-nest/kit/secret';
import { AccountRpc } from './account/account.rpc.js';
import { AdmitAttempt } from './account/admit-attempt.command.js';
import { ChangePassword } from './account/change-password.command.js';
import { loadCommonPasswords } from './account/common-passwords.store.js';
import { CreateAccount } from './account/create-account.command.js';
import { CredentialCheck } from './account/credential-check.command.js';
import type { LockoutPolicy } from './account/lockout.js';
import { ManageAccounts } from './account/manage-accounts.command.js';
import { createPasswordHasher, type PasswordHasher } from './account/password-hasher.worker.js';
import { PasswordRpc } from './account/password.rpc.js';
import { ReadAccounts } from './account/read-accounts.command.js';
import { deliverByEventLog, ResetPassword, type ResetDelivery } from './account/reset-password.command.js';
import type { IdentityConfig } from './config.js';
import { Housekeeping } from './housekeeping.job.js';
import { EndSessions } from './session/end-sessions.command.js';
import { Login } from './session/login.command.js';
import { ReadSessions } from './session/read-sessions.command.js';
import { Refresh } from './session/refresh.command.js';
import { RevocationFeed } from './session/revocation-feed.job.js';
import { RevocationForce } from './session/revocation-force.command.js';
import { RevocationRpc } from './session/revocation.rpc.js';
import { SessionRpc } from './session/session.rpc.js';
import { TokenIssuer } from './session/token-issuer.js';
import { createEnvelope, type Envelope } from './signing/envelope.js';
import { generateRsaKey, type KeyParts } from './signing/ensure-key.command.js';
import { KeepKeys } from './signing/keep-keys.job.js';
import { KeyRpc } from './signing/key.rpc.js';
import { RotateKeys } from './signing/rotate-keys.command.js';
import { SigningKeys } from './signing/signing-keys.js';

export interface Surroundings {
  readonly config: IdentityConfig;
  readonly database: Database;
  readonly connection: NatsConnection;
  readonly clock: Clock;
  /** Those of the process unless given. */
  readonly clocks?: Clocks;
  readonly log: Logger;
  /** Made from the configuration unless given. */
  readonly hasher?: PasswordHasher;
  /** Of the configured size unless given. */
  readonly generateKey?: () => Promise<KeyObject>;
  /** How reset codes reach their owners; through the event log unless given. */
  readonly deliver?: ResetDelivery;
}

/** Every part of the service, wired. Nothing runs yet: the jobs are started by whoever serves. */
export interface Identity {
  readonly outbox: Outbox;
  readonly envelope: Envelope;
  readonly hasher: PasswordHasher;
  readonly keys: SigningKeys;
  readonly keepKeys: KeepKeys;
  readonly rotation: RotateKeys;
  readonly keyParts: KeyParts;
  readonly feed: RevocationFeed;
  readonly force: RevocationForce;
  readonly login: Login;
  readonly refresh: Refresh;
  readonly ending: EndSessions;
  readonly sessions: ReadSessions;
  readonly creation: CreateAccount;
  readonly accounts: ReadAccounts;
  readonly management: ManageAccounts;
  readonly passwords: ChangePassword;
  readonly resets: ResetPassword;
  readonly housekeeping: Housekeeping;
}

const heartbeatMs = 1_000;
const keysIntervalMs = 1_000;
const housekeepingMs = 60_000;
/** Beyond the life of the last token that a key signed: clocks differ, and a request may be under way. */
const retiringMarginSeconds = 120;

export async function buildIdentity(surroundings: Surroundings): Promise<Identity> {
  const { config, database, connection, clock, log } = surroundings;
  const previous = config.IDENTITY_KEY_ENCRYPTION_KEY_PREVIOUS;
  const envelope = createEnvelope(
    keyBytes(config.IDENTITY_KEY_ENCRYPTION_KEY),
    previous === undefined ? [] : [keyBytes(previous)],
  );
  const laneKey = envelope.derive('lockout lanes');
  const deviceKey = envelope.derive('device tokens');
  const outbox = createOutbox({ service: 'identity', clock });
  const hasher = surroundings.hasher ?? createPasswordHasher(hasherOptions(config));
  const commonPasswords = await loadCommonPasswords();
  const accessTtlSeconds = config.ACCESS_TOKEN_TTL_SECONDS;

  const keys = new SigningKeys(envelope);
  const generateKey = surroundings.generateKey ?? (() => generateRsaKey(config.IDENTITY_KEY_BITS));
  const keyParts: KeyParts = { database, envelope, outbox, clock, generateKey };
  const rotation = new RotateKeys(keyParts, {
    leadSeconds: config.IDENTITY_KEY_LEAD_SECONDS,
    retiringSeconds: accessTtlSeconds + retiringMarginSeconds,
    rotationSeconds: config.IDENTITY_KEY_ROTATION_DAYS * 86_400,
  });
  const keepKeys = new KeepKeys({ database, connection, keys, rotation, log, intervalMs: keysIntervalMs });
  const issuer = new TokenIssuer(keys, {
    issuer: config.TOKEN_ISSUER,
    audience: config.TOKEN_AUDIENCE,
    accessTtlSeconds,
  });

  const clocks = surroundings.clocks ?? systemClocks;
  const feed = new RevocationFeed({ database, connection, log, heartbeatMs });
  const force = new RevocationForce({
    database,
    clocks,
    log,
    announce: (batch) => {
      feed.announce(batch);
    },
  });
  const ending = new EndSessions({ database, outbox, clock, force, accessTtlSeconds });
  const decoyHash = await hasher.hash(randomBytes(32).toString('base64'));
  const policy = lockoutPolicy(config);
  const credentials = new CredentialCheck({
    database,
    admission: new AdmitAttempt({ database, policy, clock, clocks }),
    hasher,
    outbox,
    clock,
    policy,
    laneKey,
    decoyHash,
  });
  const accounts = new ReadAccounts({ database, clock, laneKey });
  const idleSeconds = config.REFRESH_TOKEN_TTL_SECONDS;
  const absoluteSeconds = config.SESSION_ABSOLUTE_TTL_SECONDS;
  const sessionsMax = config.IDENTITY_SESSIONS_PER_ACCOUNT_MAX;
  const shared = {
    database,
    envelope,
    outbox,
    clock,
    log,
    issuer,
    ending,
    hasher,
    credentials,
    laneKey,
    commonPasswords,
  };
  return {
    outbox,
    envelope,
    hasher,
    keys,
    keepKeys,
    rotation,
    keyParts,
    feed,
    force,
    ending,
    accounts,
    login: new Login({ ...shared, deviceKey, idleSeconds, absoluteSeconds, sessionsMax }),
    refresh: new Refresh({ ...shared, idleSeconds, reuseWindowSeconds: config.REFRESH_REUSE_WINDOW_SECONDS }),
    sessions: new ReadSessions(database, clock),
    creation: new CreateAccount(shared),
    management: new ManageAccounts(shared),
    passwords: new ChangePassword(shared),
    resets: new ResetPassword({ ...shared, deliver: surroundings.deliver ?? deliverByEventLog(outbox) }),
    housekeeping: new Housekeeping({ database, clock, log, intervalMs: housekeepingMs }),
  };
}

function keyBytes(key: Secret): Buffer {
  return Buffer.from(key.reveal(), 'base64');
}

export function hasherOptions(config: IdentityConfig): { threads: number; queueMax: number } {
  return { threads: config.IDENTITY_HASH_THREADS ?? availableParallelism(), queueMax: config.IDENTITY_HASH_QUEUE_MAX };
}

function lockoutPolicy(config: IdentityConfig): LockoutPolicy {
  const attemptsMax = config.LOCKOUT_MAX_ATTEMPTS;
  return {
    attemptsMax,
    lockSeconds: config.LOCKOUT_SECONDS,
    sourceAttemptsMax: config.LOCKOUT_SOURCE_MAX_ATTEMPTS ?? attemptsMax * 40,
  };
}

@Module({})
export class IdentityModule {
  static of(identity: Identity): DynamicModule {
    return {
      module: IdentityModule,
      controllers: [AccountRpc, PasswordRpc, SessionRpc, RevocationRpc, KeyRpc],
      providers: [
        { provide: Login, useValue: identity.login },
        { provide: Refresh, useValue: identity.refresh },
        { provide: EndSessions, useValue: identity.ending },
        { provide: ReadSessions, useValue: identity.sessions },
        { provide: CreateAccount, useValue: identity.creation },
        { provide: ReadAccounts, useValue: identity.accounts },
        { provide: ManageAccounts, useValue: identity.management },
        { provide: ChangePassword, useValue: identity.passwords },
        { provide: ResetPassword, useValue: identity.resets },
        { provide: RevocationForce, useValue: identity.force },
        { provide: SigningKeys, useValue: identity.keys },
        { provide: RotateKeys, useValue: identity.rotation },
        { provide: KeepKeys, useValue: identity.keepKeys },
      ],
    };
  }
}
