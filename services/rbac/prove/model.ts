/**
 * The protocol of leases and barrier as a small machine whose every reachable state is visited: one replica, one
 * writer, a clock of a few ticks, replies and messages that may be late or lost, and a replica that may stand still
 * at any point (nothing forces it to take its next step). Broken variants show that the search would find a fault.
 */

export const variants = [
  'as built',
  'no barrier',
  'renewal does not wait for the lock',
  'lease counted from the reply',
  'lease used before catching up',
  'acknowledged before applied',
  'clock read before the question arrived',
  'live members read before the lock',
] as const;
export type Variant = (typeof variants)[number];

const leaseTicks = 2;
const timeMax = 5;
const revisionMax = 2;

interface State {
  readonly time: number;
  /** Committed revision, and the highest one that a mutation was answered with. */
  readonly head: number;
  readonly answered: number;
  readonly writer: 'idle' | 'listed early' | 'locked' | 'listed' | 'waiting';
  /** End of the lease that the writer has to wait for; 0 when there was none. */
  readonly deadline: number;
  /** The member's row. */
  readonly leaseUntil: number;
  readonly acked: number;
  /** The replica: what it has applied, until when it believes to hold the lease, and its renewal under way. */
  readonly applied: number;
  readonly believes: number;
  readonly renewal: 'none' | 'sent' | 'done';
  readonly sentAt: number;
  readonly seen: number;
  readonly behind: boolean;
  /** Messages on their way: a revision, or 0. */
  readonly news: number;
  readonly ack: number;
  /** A question on its way: what had been answered when it was sent, or -1. */
  readonly question: number;
  readonly clockRead: boolean;
}

const start: State = {
  time: 0,
  head: 0,
  answered: 0,
  writer: 'idle',
  deadline: 0,
  leaseUntil: 0,
  acked: 0,
  applied: 0,
  believes: 0,
  renewal: 'none',
  sentAt: 0,
  seen: 0,
  behind: false,
  news: 0,
  ack: 0,
  question: -1,
  clockRead: false,
};

type Move = readonly [name: string, next: State];

function moves(s: State, variant: Variant): Move[] {
  return [...ofWorld(s), ...ofReplica(s, variant), ...ofWriter(s, variant)];
}

function ofWorld(s: State): Move[] {
  const all: Move[] = [];
  if (s.time < timeMax) all.push(['a tick passes', { ...s, time: s.time + 1 }]);
  if (s.renewal === 'done') all.push(['the reply is lost', { ...s, renewal: 'none' }]);
  if (s.news > 0) all.push(['the news is lost', { ...s, news: 0 }]);
  if (s.ack > 0) all.push(['the acknowledgement is lost', { ...s, ack: 0 }]);
  if (s.question === -1) all.push(['a question is sent', { ...s, question: s.answered }]);
  return all;
}

function ofReplica(s: State, variant: Variant): Move[] {
  const all: Move[] = [];
  const isLocked = s.writer === 'locked' || s.writer === 'listed';
  if (s.renewal === 'none') all.push(['a renewal is sent', { ...s, renewal: 'sent', sentAt: s.time }]);
  if (s.renewal === 'sent' && (!isLocked || variant === 'renewal does not wait for the lock')) {
    all.push([
      'the renewal is recorded',
      { ...s, renewal: 'done', seen: s.head, leaseUntil: s.time + leaseTicks, acked: s.applied },
    ]);
  }
  if (s.renewal === 'done') {
    const from = variant === 'lease counted from the reply' ? s.time : s.sentAt;
    const isHasty = variant === 'lease used before catching up';
    const applied = isHasty ? s.applied : Math.max(s.applied, s.seen);
    all.push([
      'the reply arrives',
      { ...s, renewal: 'none', believes: from + leaseTicks, applied, behind: isHasty && s.seen > s.applied },
    ]);
  }
  if (s.behind) all.push(['it catches up', { ...s, behind: false, applied: Math.max(s.applied, s.seen) }]);
  if (s.news > 0) {
    const isHasty = variant === 'acknowledged before applied';
    const applied = isHasty ? s.applied : Math.max(s.applied, s.news);
    all.push(['the news arrives', { ...s, news: 0, ack: s.news, applied }]);
  }
  if (variant === 'clock read before the question arrived') {
    if (!s.clockRead && s.time < s.believes) all.push(['the clock is read', { ...s, clockRead: true }]);
    if (s.clockRead && s.question >= 0) all.push(['it decides', { ...s, question: -2 - s.question }]);
  } else if (s.question >= 0 && s.time < s.believes) {
    all.push(['it decides', { ...s, question: -2 - s.question }]);
  }
  return all;
}

function ofWriter(s: State, variant: Variant): Move[] {
  const listed = { deadline: s.leaseUntil > s.time ? s.leaseUntil : 0 };
  const all: Move[] = [];
  if (s.writer === 'idle' && s.head < revisionMax) {
    if (variant === 'live members read before the lock')
      all.push(['it lists the members', { ...s, writer: 'listed early', ...listed }]);
    else all.push(['it takes the lock', { ...s, writer: 'locked' }]);
  }
  if (s.writer === 'listed early') all.push(['it takes the lock', { ...s, writer: 'listed' }]);
  if (s.writer === 'locked') all.push(['it lists the members', { ...s, writer: 'listed', ...listed }]);
  if (s.writer === 'listed') all.push(['it commits', { ...s, writer: 'waiting', head: s.head + 1, news: s.head + 1 }]);
  if (s.writer === 'waiting') {
    const answer: State = { ...s, writer: 'idle', answered: s.head, deadline: 0 };
    if (variant === 'no barrier') all.push(['it answers', answer]);
    if (s.time >= s.deadline) all.push(['it answers: the lease has ended', answer]);
    if (s.ack >= s.head) all.push(['it answers: acknowledged by message', { ...answer, ack: 0 }]);
    if (s.acked >= s.head) all.push(['it answers: acknowledged in the table', answer]);
  }
  return all;
}

/** Decided by something older than what had been answered when the question was sent. */
function isViolated(s: State): boolean {
  return s.question <= -2 && s.applied < -2 - s.question;
}

export interface Exploration {
  readonly states: number;
  /** The shortest way to a stale decision, or undefined when no state has one. */
  readonly counterexample?: readonly string[];
}

/** Visits every reachable state, nearest first, and stops at the first stale decision. */
export function explore(variant: Variant): Exploration {
  const keyOf = (state: State) => Object.values(state).join();
  const from = new Map<string, { readonly name: string; readonly previous: string } | undefined>([
    [keyOf(start), undefined],
  ]);
  let frontier = [start];
  while (frontier.length > 0) {
    const next: State[] = [];
    for (const state of frontier) {
      const previous = keyOf(state);
      // A decided question has been judged; the next one may be sent.
      const settled = state.question <= -2 ? { ...state, question: -1, clockRead: false } : state;
      for (const [name, reached] of moves(settled, variant)) {
        const key = keyOf(reached);
        if (from.has(key)) continue;
        from.set(key, { name, previous });
        if (isViolated(reached)) return { states: from.size, counterexample: pathTo(key, from) };
        next.push(reached);
      }
    }
    frontier = next;
  }
  return { states: from.size };
}

function pathTo(
  key: string,
  from: ReadonlyMap<string, { readonly name: string; readonly previous: string } | undefined>,
): string[] {
  const path: string[] = [];
  for (let step = from.get(key); step !== undefined; step = from.get(step.previous)) path.unshift(step.name);
  return path;
}
