import { describe, expect, test } from '@jest/globals';
import type { AccessTokenClaims } from '@prime-nest/contracts/claims';
import type { Revocation } from '@prime-nest/contracts/identity';
import fc from 'fast-check';
import { parseTilePath, wantsText } from '../audit/proof-format.js';
import { Circuit } from './circuit.js';
import { Evaluation, Evaluations, checkOf, completed, shorten } from './evaluation.js';
import { RevocationSet } from './revocation-set.js';

const startMs = Date.parse('2026-03-01T12:00:00.000Z');

describe('an AuthZEN request', () => {
  const part = fc.record({ type: fc.string(), id: fc.string(), name: fc.string() }, { requiredKeys: [] });
  const evaluation = fc.record(
    { subject: part, action: part, resource: part, context: fc.jsonValue() },
    { requiredKeys: [] },
  );

  test('is a check or a reason to deny, never an exception and never an allow', () => {
    fc.assert(
      fc.property(fc.oneof(evaluation, fc.jsonValue()), (body) => {
        const parsed = Evaluation.safeParse(body);
        if (!parsed.success) return;
        const check = checkOf(parsed.data);
        if (typeof check === 'string') expect(['unknown_principal', 'unknown_permission']).toContain(check);
        else expect(check.permission).toBe(`${parsed.data.resource.type}:${parsed.data.action.name}`);
      }),
    );
  });

  test('of many has as many answers as questions, and a default never replaces what a question says itself', () => {
    const whole = fc.record({
      subject: fc.record({ type: fc.constant('user'), id: fc.stringMatching(/^[a-z]{1,8}$/) }),
      action: fc.record({ name: fc.stringMatching(/^[a-z]{1,8}$/) }),
      resource: fc.record({ type: fc.stringMatching(/^[a-z]{1,8}$/), id: fc.stringMatching(/^[a-z]{1,8}$/) }),
    });
    const partial = fc.tuple(whole, fc.boolean(), fc.boolean(), fc.boolean()).map(([one, s, a, r]) => ({
      ...(s ? { subject: one.subject } : {}),
      ...(a ? { action: one.action } : {}),
      ...(r ? { resource: one.resource } : {}),
    }));
    fc.assert(
      fc.property(partial, fc.array(partial, { minLength: 1, maxLength: 10 }), (defaults, evaluations) => {
        const filled = completed(Evaluations.parse({ ...defaults, evaluations }));
        expect(filled).toHaveLength(evaluations.length);
        for (const [index, one] of filled.entries()) {
          const sources = { ...defaults, ...evaluations[index] };
          const isWhole = 'subject' in sources && 'action' in sources && 'resource' in sources;
          if (isWhole) expect(one).toEqual(sources);
          else expect(one).toBeUndefined();
        }
      }),
    );
  });

  test('that stops early answers a beginning, up to the first that decides it', () => {
    const decisions = fc.array(fc.boolean(), { minLength: 1 });
    fc.assert(
      fc.property(decisions, fc.constantFrom('deny_on_first_deny', 'permit_on_first_permit'), (given, semantic) => {
        const results = given.map((decision) => ({ decision }));
        const short = shorten(results, semantic);
        const stop = semantic === 'permit_on_first_permit';
        expect(short).toEqual(results.slice(0, short.length));
        expect(short.slice(0, -1).every(({ decision }) => decision !== stop)).toBe(true);
        if (short.length < results.length) expect(short.at(-1)?.decision).toBe(stop);
        expect(shorten(results, 'execute_all')).toEqual(results);
      }),
    );
  });
});

describe('the revocation set', () => {
  const revocations = fc.array(
    fc.record({
      kind: fc.constantFrom('session', 'epoch'),
      id: fc.nat(4),
      epoch: fc.nat(5),
      minutes: fc.integer({ min: 1, max: 20 }),
    }),
    { minLength: 1, maxLength: 20 },
  );
  const toRevocation = ({
    kind,
    id,
    epoch,
    minutes,
  }: {
    kind: string;
    id: number;
    epoch: number;
    minutes: number;
  }): Revocation => {
    const until = new Date(startMs + minutes * 60_000).toISOString();
    return kind === 'session'
      ? { kind: 'session', sessionId: `s${String(id)}`, until }
      : { kind: 'epoch', accountId: `a${String(id)}`, minEpoch: epoch, until };
  };
  const tokens = [0, 1, 2, 3, 4].flatMap((id) =>
    [0, 2, 4].map((ver) => ({ sid: `s${String(id)}`, sub: `a${String(id)}`, ver }) as AccessTokenClaims),
  );

  test('knows the same in the end, in whatever order and how often its messages come', () => {
    const order = fc.array(fc.nat(), { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(revocations, order, fc.integer({ min: 0, max: 25 }), (list, sorting, minutes) => {
        const messages = list.map((one, index) => ({ sequence: index + 1, revocations: [toRevocation(one)] }));
        const shuffled = messages
          .flatMap((message, index) => ((sorting[index] ?? 0) % 2 === 0 ? [message, message] : [message]))
          .map((message, index) => ({ message, at: (sorting[index % 20] ?? 0) % 97 }))
          .sort((a, b) => a.at - b.at)
          .map(({ message }) => message);
        const [straight, mixed] = [new RevocationSet(() => 0), new RevocationSet(() => 0)];
        for (const message of messages) expect(straight.apply(message, startMs)).toBe(true);
        for (const message of shuffled) mixed.apply(message, startMs);
        expect(mixed.sequence).toBe(messages.length);
        const nowMs = startMs + minutes * 60_000;
        for (const claims of tokens) expect(mixed.isRevoked(claims, nowMs)).toBe(straight.isRevoked(claims, nowMs));
      }),
    );
  });

  test('never lets a session back in before its time, whatever it hears later', () => {
    fc.assert(
      fc.property(revocations, revocations, (first, later) => {
        const set = new RevocationSet(() => 0);
        set.load({ after: 0, sequence: 1, revocations: first.map(toRevocation) }, startMs);
        const refused = tokens.filter((claims) => set.isRevoked(claims, startMs + 30_000));
        set.apply({ sequence: 50, revocations: later.map(toRevocation) }, startMs);
        set.restart();
        set.load({ after: 0, sequence: 0, revocations: [] }, startMs + 1);
        for (const claims of refused) expect(set.isRevoked(claims, startMs + 30_000)).toBe(true);
      }),
    );
  });

  test('begins anew after a restart: what came ahead of the old numbers says nothing about the new ones', () => {
    const set = new RevocationSet(() => 0);
    const one = [toRevocation({ kind: 'session', id: 0, epoch: 0, minutes: 5 })];
    set.load({ after: 0, sequence: 10, revocations: [] }, startMs);
    expect(set.apply({ sequence: 12, revocations: one }, startMs)).toBe(false);
    set.restart();
    expect(set.sequence).toBe(0);
    set.load({ after: 0, sequence: 11, revocations: [] }, startMs);
    expect(set.sequence).toBe(11);
    // An answer to a question from before the restart proves nothing either.
    set.restart();
    set.load({ after: 5, sequence: 20, revocations: [] }, startMs);
    expect(set.sequence).toBe(0);
    // The control: without the restart the two meet.
    const whole = new RevocationSet(() => 0);
    whole.load({ after: 0, sequence: 10, revocations: [] }, startMs);
    whole.apply({ sequence: 12, revocations: one }, startMs);
    expect(whole.apply({ sequence: 11, revocations: one }, startMs)).toBe(true);
    expect(whole.sequence).toBe(12);
  });

  test('still knows what has not ended when it throws away what has', () => {
    let monoMs = 0;
    const set = new RevocationSet(() => monoMs);
    const short = [0, 1].map((id) => toRevocation({ kind: id === 0 ? 'session' : 'epoch', id, epoch: 5, minutes: 1 }));
    const long = [2, 3].map((id) => toRevocation({ kind: id === 2 ? 'session' : 'epoch', id, epoch: 5, minutes: 120 }));
    set.load({ after: 0, sequence: 1, revocations: [...short, ...long] }, startMs);
    monoMs = 3_600_000;
    set.apply({ sequence: 2, revocations: [] }, startMs + monoMs);
    const known = (id: number, at: number) =>
      set.isRevoked({ sid: `s${String(id)}`, sub: `a${String(id)}`, ver: 0 } as AccessTokenClaims, at);
    // Gone also for a clock that is set back: nothing is left of them in memory.
    expect([0, 1, 2, 3].map((id) => known(id, startMs + 59_999))).toEqual([false, false, true, true]);
    monoMs = 0;
    const kept = new RevocationSet(() => monoMs);
    kept.load({ after: 0, sequence: 1, revocations: short }, startMs);
    monoMs = 3_599_999;
    kept.apply({ sequence: 1, revocations: [] }, startMs + monoMs);
    expect(kept.isRevoked({ sid: 's0', sub: 'a9', ver: 0 } as AccessTokenClaims, startMs + 59_999)).toBe(true);
  });

  test('says that nothing is missing only up to a number before which it has every message', () => {
    const arrived = fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 30 });
    fc.assert(
      fc.property(arrived, (sequences) => {
        const set = new RevocationSet(() => 0);
        const heard = new Set<number>();
        for (const sequence of sequences) {
          heard.add(sequence);
          const message = { sequence, revocations: [toRevocation({ kind: 'session', id: 0, epoch: 0, minutes: 5 })] };
          const isWhole = set.apply(message, startMs);
          let gapless = 0;
          while (heard.has(gapless + 1)) gapless++;
          expect(set.sequence).toBe(gapless);
          expect(isWhole).toBe(gapless >= sequence);
        }
      }),
    );
  });
});

describe('a circuit', () => {
  test('that is open admits one probe at a time, and closes with the first answer', () => {
    const steps = fc.array(
      fc.record({ passMs: fc.nat(700), slowMs: fc.constantFrom(0, 199, 200, 900), isAnswered: fc.boolean() }),
    );
    fc.assert(
      fc.property(steps, (list) => {
        const circuit = new Circuit();
        let nowMs = 0;
        let silences = 0;
        for (const { passMs, slowMs, isAnswered } of list) {
          nowMs += passMs;
          const wasOpen = circuit.isOpen;
          if (!circuit.admits(nowMs)) {
            expect(wasOpen).toBe(true);
            continue;
          }
          // While this probe is under way nobody else is let through.
          if (wasOpen) expect(circuit.admits(nowMs + 10_000)).toBe(false);
          const startedAtMs = nowMs;
          nowMs += slowMs;
          if (isAnswered) {
            expect(circuit.onAnswer()).toBe(wasOpen);
            silences = 0;
          } else {
            silences += wasOpen || slowMs >= 200 ? 1 : 0;
            circuit.onSilence(startedAtMs, nowMs);
          }
          expect(circuit.isOpen).toBe(silences >= 5);
          if (circuit.isOpen) expect(circuit.admits(nowMs + 499)).toBe(false);
        }
      }),
    );
  });
});

describe('the address of a tile', () => {
  /** C2SP tlog-tiles: groups of three digits, all but the last with an x. */
  const write = (index: number): string => {
    const last = String(index % 1000).padStart(3, '0');
    return index < 1000 ? last : `${write(Math.floor(index / 1000)).replaceAll(/(^|\/)(?=\d)/g, '$1x')}/${last}`;
  };

  test('is read back, and has one spelling', () => {
    const index = fc.oneof(fc.nat(2_000), fc.integer({ min: 0, max: 999_999_999_999 }));
    fc.assert(
      fc.property(fc.nat(6), index, fc.option(fc.integer({ min: 1, max: 255 })), (level, at, width) => {
        const path = `${String(level)}/${write(at)}${width === null ? '' : `.p/${String(width)}`}`;
        expect(parseTilePath(path)).toEqual({ level, index: at, width: width ?? 256 });
        expect(parseTilePath(`${String(level)}/x000/${write(at)}`)).toBeUndefined();
        expect(parseTilePath(`${path}.p/256`)).toBeUndefined();
        expect(parseTilePath(`${path}/`)).toBeUndefined();
      }),
    );
  });

  test('of any other form is none', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456x/.p-') }), (path) => {
        const tile = parseTilePath(path);
        if (tile === undefined) return;
        const suffix = tile.width === 256 ? '' : `.p/${String(tile.width)}`;
        expect(path).toBe(`${String(tile.level)}/${write(tile.index)}${suffix}`);
      }),
      { numRuns: 1_000 },
    );
    fc.assert(fc.property(fc.string(), (accept) => expect(typeof wantsText(accept)).toBe('boolean')));
  });
});
