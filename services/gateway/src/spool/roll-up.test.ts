import { describe, expect, test } from '@jest/globals';
import type { CallContext } from '@prime-nest/contracts/context';
import fc from 'fast-check';
import type { GatewayEventDraft } from './record-event.js';
import { RollUp } from './roll-up.js';
import type { Line, RollUpLimits } from './roll-up.js';

const limits: RollUpLimits = { windowMs: 10_000, eachMax: 2, keysMax: 4, linesPerSecond: 5 };
const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: false };
const from = (ip: string, n = 0): CallContext => ({
  correlationId: `c-${n}`,
  trace: { ...trace, traceId: n.toString(16).padStart(32, '0') },
  actor: { type: 'anonymous' },
  ip,
});
const limited = (route: string): GatewayEventDraft => ({
  type: 'gateway.rate.limited.v1',
  outcome: 'denied',
  reasonCode: 'rate_limited',
  resourceId: route,
});
const at = (ms: number) => new Date(1_700_000_000_000 + ms);
const countOf = (lines: readonly Line[]) => lines.reduce((sum, { count }) => sum + count, 0);

interface Rolled {
  readonly rollUp: { readonly count: number; readonly last: { readonly correlationId: string } };
}

describe('a roll-up', () => {
  test('gives the first of a kind lines of their own and one line with the exact count for the rest', () => {
    const rollUp = new RollUp(limits);
    const lines = Array.from({ length: 5_000 }, (_, n) => rollUp.take(limited('GET /a'), from('10.0.0.1', n), at(n)));
    expect(lines.filter((line) => line !== undefined).length).toBe(2);
    expect(rollUp.close(at(9_999))).toEqual([]);
    const [line, ...others] = rollUp.close(at(10_000));
    expect(others).toEqual([]);
    expect(line?.count).toBe(4_998);
    expect(line?.at).toEqual(at(2));
    expect(line?.context.correlationId).toBe('c-2');
    expect(line?.draft.change?.after as Rolled).toEqual({
      rollUp: {
        count: 4_998,
        firstAt: at(2).toISOString(),
        lastAt: at(4_999).toISOString(),
        last: { correlationId: 'c-4999', traceId: (4_999).toString(16).padStart(32, '0') },
      },
    });
    // A new window begins with lines of its own again.
    expect(rollUp.take(limited('GET /a'), from('10.0.0.1'), at(10_001))?.count).toBe(1);
  });

  test('keeps what a caller said in the first of the counted events, beside the count', () => {
    const rollUp = new RollUp({ ...limits, eachMax: 0 });
    rollUp.take({ ...limited('GET /a'), change: { after: { upstream: 'orders' } } }, from('10.0.0.1'), at(0));
    expect(rollUp.close()[0]?.draft.change?.after).toMatchObject({ upstream: 'orders', rollUp: { count: 1 } });
  });

  test('tells accounts, networks, routes and reasons apart; the hosts of one IPv6 network are one', () => {
    const kinds = (contexts: readonly CallContext[], drafts: readonly GatewayEventDraft[]) => {
      const rollUp = new RollUp({ ...limits, eachMax: 0, keysMax: 100 });
      for (const context of contexts) for (const draft of drafts) rollUp.take(draft, context, at(0));
      return rollUp.close().length;
    };
    const user = (id: string): CallContext => ({ ...from('10.0.0.1'), actor: { type: 'user', id } });
    expect(kinds([from('10.0.0.1'), from('10.0.0.2')], [limited('GET /a')])).toBe(2);
    expect(kinds([user('one'), user('two'), user('one')], [limited('GET /a')])).toBe(2);
    expect(kinds([from('10.0.0.1')], [limited('GET /a'), limited('GET /b')])).toBe(2);
    expect(kinds([from('2001:db8::1'), from('2001:db8:0:0:ffff::9')], [limited('GET /a')])).toBe(1);
    expect(kinds([from('2001:db8::1'), from('2001:db8:0:1::1')], [limited('GET /a')])).toBe(2);
  });

  test('counts by type alone what it has no room to tell apart, and names no caller there', () => {
    const rollUp = new RollUp({ ...limits, eachMax: 0 });
    for (let n = 0; n < 100; n++) rollUp.take(limited('GET /a'), from(`10.0.0.${n}`), at(0));
    const lines = rollUp.close();
    expect(lines.length).toBe(limits.keysMax + 1);
    expect(countOf(lines)).toBe(100);
    const shared = lines.at(-1);
    expect(shared?.draft).toMatchObject({ type: 'gateway.rate.limited.v1', reasonCode: 'other' });
    expect(shared?.draft.resourceId).toBeUndefined();
    expect(shared?.context.ip).toBeUndefined();
    expect(shared?.context.actor).toEqual({ type: 'service', id: 'gateway' });
  });

  test('loses nothing and writes no more lines than it may, whatever comes in whatever order', () => {
    const event = fc.record({ gapMs: fc.nat(3_000), host: fc.nat(9), route: fc.nat(2), close: fc.boolean() });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 300 }), (events) => {
        const rollUp = new RollUp(limits);
        const singles: number[] = [];
        let taken = 0;
        let written = 0;
        let nowMs = 0;
        for (const { gapMs, host, route, close } of events) {
          nowMs += gapMs;
          taken++;
          const line = rollUp.take(limited(`GET /${route}`), from(`10.0.0.${host}`), at(nowMs));
          if (line !== undefined) singles.push(nowMs);
          written += line?.count ?? 0;
          if (close) written += countOf(rollUp.close(at(nowMs)));
          expect(written + rollUp.waiting).toBe(taken);
        }
        expect(written + countOf(rollUp.close())).toBe(taken);
        expect(rollUp.waiting).toBe(0);
        // A bucket of five that fills with five a second.
        for (const [i, firstMs] of singles.entries()) {
          const within = singles.slice(i).filter((ms) => ms - firstMs < 1_000).length;
          expect(within).toBeLessThanOrEqual(2 * limits.linesPerSecond);
        }
      }),
    );
  });
});
