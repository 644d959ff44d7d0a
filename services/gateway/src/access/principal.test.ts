import { describe, expect, test } from '@jest/globals';
import { actorOf, ambiguous, bearerToken, isSameAccess } from './principal.js';
import type { RouteAccess } from './principal.js';

describe('the credential of a request', () => {
  test.each([[['Authorization', 'Bearer a.b.c']], [['accept', '*/*', 'aUTHORIZATION', 'Bearer a.b.c', 'x-a', 'y']]])(
    'is the token after the scheme: %j',
    (headers) => {
      expect(bearerToken(headers)).toBe('a.b.c');
    },
  );

  test.each([
    [[]],
    [['accept', '*/*']],
    // As long as the right name, or a part of it; a value that looks like the name; a name without a value.
    [['authorizatioN2', 'Bearer x', 'Authorizatiom', 'Bearer x', 'x', 'authorization']],
    [['accept', '*/*', 'authorization']],
  ])('is none in %j', (headers) => {
    expect(bearerToken(headers)).toBeUndefined();
  });

  test.each([
    [['authorization', 'Bearer a', 'Authorization', 'Bearer a']],
    [['authorization', 'Bearer a', 'authorization', '']],
    [['authorization', '']],
    [['authorization', 'Bearer ']],
    [['authorization', 'Bearer']],
    [['authorization', 'bearer a']],
    [['authorization', 'Basic a']],
  ])('is not guessed from %j', (headers) => {
    expect(bearerToken(headers)).toBe(ambiguous);
  });

  test('speaks for a user in a session', () => {
    expect(actorOf({ id: 'a', sessionId: 's' })).toEqual({ type: 'user', id: 'a', sessionId: 's' });
  });
});

test('two routes ask the same only when kind and permission are the same', () => {
  const all: RouteAccess[] = [
    { kind: 'public' },
    { kind: 'authenticated' },
    { kind: 'permission', permission: 'users:view' },
    { kind: 'permission', permission: 'users:edit' },
  ];
  for (const a of all) for (const b of all) expect(isSameAccess({ ...a }, { ...b })).toBe(a === b);
});
