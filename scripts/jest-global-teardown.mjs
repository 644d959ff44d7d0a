/** Ends what `jest-global-setup.mjs` started, before jest waits for this process to run out of work. */
export default async function globalTeardown() {
  await globalThis.stopTestRun?.();
}
