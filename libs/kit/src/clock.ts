/** Where code gets the time from. Passed in everywhere, so that a test decides what time it is. */
export type Clock = () => Date;

export const systemClock: Clock = () => new Date();

/** A clock that stands still until `advance` moves it by so many milliseconds. */
export function fixedClock(at: Date): Clock & { advance(ms: number): void } {
  let now = at.getTime();
  return Object.assign(() => new Date(now), {
    advance: (ms: number) => {
      now += ms;
    },
  });
}
