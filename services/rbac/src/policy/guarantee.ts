/** How the promise is timed: see the lease and the barrier. */
export interface Guarantee {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
}

/** The longest that a mutation waits for replicas that do not answer: a lease, the clock error, and the margin. */
export function barrierMsMax({ leaseMs }: Guarantee, clockRateErrorMax: number): number {
  return Math.ceil(leaseMs * (1 + clockRateErrorMax) + 10);
}
