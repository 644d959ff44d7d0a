import type { CallContext } from '@prime-nest/contracts/context';
import { AppError } from '@prime-nest/contracts/errors';
import type { EventDraft } from '@prime-nest/contracts/events';
import type { Effect, PermissionName } from '@prime-nest/contracts/rbac';
import type { Database, Tx } from '@prime-nest/kit/database';
import type { Outbox } from '@prime-nest/kit/outbox/outbox';
import type { LiveMembers } from '@prime-nest/kit/member-barrier';
import { annotate, inSpan } from '@prime-nest/kit/telemetry';
import { mark } from '../telemetry.js';
import type { RevisionBarrier } from './barrier.command.js';
import { applyDelta } from './compile.js';
import { decide } from './decide.js';
import type { Delta } from './delta.js';
import { type Difference, difference } from './difference.js';
import { judge } from './judge.js';
import { type Head, appendChange, lockHead, readChangesSince } from './policy.store.js';
import type { Replica } from './replica.store.js';
import type { PolicySnapshot } from './snapshot.js';

/** What a mutation may use: its transaction, alone with the policy at head revision until it ends. */
export interface Scope {
  readonly tx: Tx;
  readonly policy: PolicySnapshot;
  /** The database's clock, milliseconds. */
  readonly nowMs: number;
}

/** What a mutation has written. Without an event nothing has changed, and no revision is spent on it. */
export interface Change<T> {
  readonly result: T;
  readonly delta: Delta;
  readonly event?: EventDraft;
}

/** The authority of the seed: no actor, so no permission and no limit to what it gives. Only the seed command has it. */
export const seedAuthority = Symbol('seed');

export interface Mutation<T> {
  readonly op: string;
  /** The actor needs one of these at head revision. */
  readonly needs: readonly PermissionName[] | typeof seedAuthority;
  readonly context: CallContext;
  /** Answers what would happen and leaves nothing behind. */
  readonly isDryRun?: boolean;
  /** Writes the rows. It may run again, so it touches nothing but `scope.tx`. */
  readonly write: (scope: Scope) => Promise<Change<T>>;
}

export interface Mutated<T> {
  readonly result: T;
  readonly effect: Effect;
  /** For a dry run: who would gain and lose what, and whether the actor may see who holds what. */
  readonly preview?: Difference & { readonly isListed: boolean };
}

interface Committed<T> {
  readonly result: T;
  readonly after: PolicySnapshot;
  readonly live: LiveMembers;
}

const waitingMax = 200;

/**
 * The one way to change the policy. In one transaction, under one lock: the actor is authorized again at head
 * revision, the rows are written, the difference is compiled and judged (nobody gives what he does not hold, an
 * administrator remains), history and event are added and the revision rises by one. After the commit it waits until
 * no replica anywhere decides by the revision before, and only then answers.
 */
export class Mutator {
  readonly #database: Database;
  readonly #replica: Replica;
  readonly #outbox: Outbox;
  readonly #barrier: Pick<RevisionBarrier, 'liveMembers' | 'wait'>;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(parts: {
    database: Database;
    replica: Replica;
    outbox: Outbox;
    barrier: Pick<RevisionBarrier, 'liveMembers' | 'wait'>;
  }) {
    this.#database = parts.database;
    this.#replica = parts.replica;
    this.#outbox = parts.outbox;
    this.#barrier = parts.barrier;
  }

  /**
   * Throws `forbidden`, `escalation_refused` or `last_administrator` with nothing written, `overloaded` when too many
   * mutations wait already, and `unavailable` when it is not known whether it took effect everywhere: a caller that
   * repeats it gets an answer that waits for the same barrier.
   */
  async run<T>(mutation: Mutation<T>): Promise<Mutated<T>> {
    try {
      const { result, after, live } = await this.#inTurn(() => this.#commit(mutation));
      annotate({ [mark.operation]: mutation.op, [mark.changedTo]: after.revision });
      return { result, effect: await this.#wait(after.revision, live) };
    } catch (error) {
      if (error instanceof DryRun) return error.outcome as Mutated<T>;
      throw error;
    }
  }

  #wait(revision: number, live: LiveMembers): Promise<Effect> {
    const attributes = { [mark.waitedFor]: revision, [mark.live]: live.size };
    return inSpan('policy.barrier', { attributes }, async (span) => {
      const effect = await this.#barrier.wait(revision, live);
      span.setAttribute(mark.acked, effect.acked.length);
      span.setAttribute(mark.fenced, effect.fenced.length);
      return effect;
    });
  }

  /** One at a time in this process: they would only queue for the lock in the database, each with a connection. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= waitingMax) throw new AppError('overloaded');
    this.#waiting++;
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting--;
    }
  }

  async #commit<T>(mutation: Mutation<T>): Promise<Committed<T>> {
    // Before the lock, so that little is left to do under it.
    await this.#replica.fresh();
    const committed = await this.#database.transaction(async (tx) => {
      const head = await lockHead(tx);
      const before = await this.#policyAt(tx, head);
      authorize(before, mutation, head.nowMs);
      const { result, delta, event } = await mutation.write({ tx, policy: before, nowMs: head.nowMs });
      const isChanged = event !== undefined;
      const after = isChanged ? applyDelta(before, { revision: head.revision + 1, delta }) : before;
      if (mutation.needs !== seedAuthority) judge(before, after, actorIdOf(mutation.context));
      if (mutation.isDryRun === true) {
        const effect = { revision: head.revision, effective: 'none' as const, barrierMs: 0, acked: [], fenced: [] };
        const isListed = mayList(before, mutation, head.nowMs);
        throw new DryRun({ result, effect, preview: { ...difference(before, after, head.nowMs), isListed } });
      }
      if (isChanged) {
        const { context, op } = mutation;
        await appendChange(tx, { revision: after.revision, actor: context.actor, op, delta });
        await this.#outbox.append(tx, event, context);
      }
      // A crash from here on: committed or not, as PostgreSQL says; no answer has been given either way.
      return { result, after, live: await this.#barrier.liveMembers(tx) };
    });
    this.#replica.install(committed.after);
    return committed;
  }

  async #policyAt(tx: Tx, head: Head): Promise<PolicySnapshot> {
    let policy = this.#replica.snapshot;
    if (policy.revision < head.revision) {
      for (const change of await readChangesSince(tx, policy.revision)) policy = applyDelta(policy, change);
    }
    if (policy.revision !== head.revision) {
      throw new AppError('unavailable', { internal: { held: policy.revision, head: head.revision } });
    }
    return policy;
  }
}

function authorize(policy: PolicySnapshot, { needs, context }: Mutation<unknown>, nowMs: number): void {
  if (needs === seedAuthority) return;
  const principalId = actorIdOf(context);
  const mayDo = needs.some((permission) => decide(policy, { principalId, permission }, nowMs).effect === 'allow');
  if (!mayDo) throw new AppError('forbidden', { internal: { needs: [...needs] } });
}

/** A list of people with their permissions is for those who could look both up. */
function mayList(policy: PolicySnapshot, { context }: Mutation<unknown>, nowMs: number): boolean {
  const principalId = actorIdOf(context);
  return (['users:view', 'rbac:view'] as const).every(
    (permission) => decide(policy, { principalId, permission }, nowMs).effect === 'allow',
  );
}

/** Only people hold roles. A service that asks has no authority of its own. */
function actorIdOf({ actor }: CallContext): string {
  if (actor.type !== 'user') throw new AppError('forbidden', { internal: { actor: actor.type } });
  return actor.id;
}

/** Leaves the transaction with an answer and takes the writes with it. */
class DryRun extends Error {
  constructor(readonly outcome: Mutated<unknown>) {
    super('dry run');
  }
}
