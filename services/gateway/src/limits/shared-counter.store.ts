import type { Redis, Result } from 'ioredis';
import type { Quota } from './quota.js';
import { stretches } from './rate-window.js';
import type { Taken } from './rate-window.js';

/** Requests of one client in one turn of the event loop that are counted by the same quotas. */
export interface Charge {
  readonly quotas: readonly Quota[];
  readonly client: string;
  readonly count: number;
}

declare module 'ioredis' {
  interface RedisCommander<Context> {
    primeNestTake(keys: number, ...rest: (string | number)[]): Result<number[], Context>;
  }
}

/**
 * `RateWindow` in Redis: one hash per quota and client with `used`, the index of the oldest stretch (`first`), the
 * instant at which it stops counting (`free`), and per stretch its count and its last request. All charges of a call are judged
 * at one instant of Redis's own clock, in order; a charge takes as many as fit into every one of its quotas.
 */
const script = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
local key, arg = 0, 1
while arg <= #ARGV do
  local fits, lanes = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  arg = arg + 2
  local found = {}
  for lane = 1, lanes do
    local name, max, window = KEYS[key + lane], tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
    arg = arg + 2
    local stretch = math.floor(now / (window / ${stretches}))
    local state = redis.call('HMGET', name, 'used', 'first', 'free', 'c' .. stretch)
    local used, first, free = tonumber(state[1]) or 0, tonumber(state[2]) or 0, tonumber(state[3]) or 0
    local count = tonumber(state[4]) or 0
    if used > 0 and free <= now then
      while used > 0 and free <= now do
        used = used - (tonumber(redis.call('HGET', name, 'c' .. first)) or 0)
        redis.call('HDEL', name, 'c' .. first, 't' .. first)
        if used > 0 then
          local last
          repeat
            first = first + 1
            last = redis.call('HGET', name, 't' .. first)
          until last
          free = last + window
        end
      end
      if used > 0 then redis.call('HSET', name, 'used', used, 'first', first, 'free', free)
      else redis.call('DEL', name) end
    end
    if used == 0 then
      first, count = stretch, 0
    elseif stretch < first then
      stretch = first
      count = tonumber(redis.call('HGET', name, 'c' .. first)) or 0
    end
    found[lane] = { name, window, used, first, free, stretch, count }
    if max - used < fits then fits = max - used end
  end
  if fits < 0 then fits = 0 end
  answer[#answer + 1] = fits
  for lane = 1, lanes do
    local name, window, used, first, free, stretch, count = unpack(found[lane])
    if fits > 0 then
      if stretch == first then free = now + window end
      used = used + fits
      redis.call('HSET', name, 'used', used, 'first', first, 'free', free, 'c' .. stretch, count + fits, 't' .. stretch, now)
      -- Lives for a window after its last request, whenever in the stretch that comes.
      if count == 0 then redis.call('PEXPIRE', name, math.ceil(window + window / ${stretches})) end
    end
    answer[#answer + 1] = used
    answer[#answer + 1] = used > 0 and free - now or 0
  end
  key = key + lanes
end
return answer
`;

export function defineSharedCounter(redis: Redis): void {
  redis.defineCommand('primeNestTake', { lua: script });
}

/** Takes from the counters that all gateways share, in one message; answers for each charge one result per quota. */
export async function takeShared(redis: Redis, charges: readonly Charge[]): Promise<Taken[][]> {
  const keys: string[] = [];
  const numbers: number[] = [];
  for (const { quotas, client, count } of charges) {
    numbers.push(count, quotas.length);
    for (const { name, max, windowSeconds } of quotas) {
      // A key says what it counts, so that a changed window begins anew instead of being misread.
      keys.push(`rl:${name}:${windowSeconds}:${client}`);
      numbers.push(max, windowSeconds * 1000);
    }
  }
  const answer = await redis.primeNestTake(keys.length, ...keys, ...numbers);
  let at = 0;
  return charges.map(({ quotas }) => {
    const taken = answer[at++] ?? 0;
    return quotas.map(() => ({ taken, used: answer[at++] ?? 0, freeInMs: answer[at++] ?? 0 }));
  });
}
