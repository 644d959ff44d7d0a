import type { Rpc } from '@prime-nest/contracts/subjects';
import type { BusClient } from '@prime-nest/kit/bus/client';

/** How the gateway talks to the services behind it: every subject of the contracts, typed, with its deadline. */
export type Calls = BusClient<Rpc>;
