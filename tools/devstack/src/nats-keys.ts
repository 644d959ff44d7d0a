import { nkeys } from '@nats-io/transport-node';
import type { BusUser } from '@prime-nest/contracts/bus';
import { Secret } from '@prime-nest/kit/secret';
import { perBusUser } from './nats-config.js';

/** What each user of the bus signs with: the private half, `SU…`. */
export type BusSeeds = Readonly<Record<BusUser, string>>;

/** A new ed25519 pair per user, as seeds. */
export function newBusSeeds(): BusSeeds {
  return perBusUser(newSeed);
}

export function newSeed(): string {
  return new TextDecoder().decode(nkeys.createUser().getSeed());
}

export function publicKeyOf(seed: string): string {
  return nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
}

/** The public halves, `U…`: all that a server has to know. */
export function publicKeys(seeds: BusSeeds): Readonly<Record<BusUser, string>> {
  return perBusUser((user) => publicKeyOf(seeds[user]));
}

/** What a connection of one user is made with. */
export interface BusCredentials {
  readonly name: BusUser;
  readonly servers: string;
  readonly nkeySeed: Secret;
}

export function busCredentials(name: BusUser, servers: string, seeds: BusSeeds): BusCredentials {
  return { name, servers, nkeySeed: new Secret(seeds[name]) };
}
