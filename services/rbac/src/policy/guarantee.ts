/** How the promise is timed: see the lease and the barrier. */
export interface Guarantee {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
}

/** No replica of any version or configuration takes a longer lease. A barrier waits for nobody beyond it. */
export const leaseMsMax = 3_000;
