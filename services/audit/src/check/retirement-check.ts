import type { RetiredEntries } from '@prime-nest/contracts/audit';
import { readManifest } from '../log/retirement.js';
import type { RetirementManifest } from '../log/retirement.js';
import type { Fault } from './log-check.js';

/**
 * Holds what is said to be retired against the log itself: only an entry of the log can say so. Give it what is
 * claimed and every entry that is there; then ask for the faults.
 */
export class RetirementCheck {
  readonly #manifests = new Map<number, RetirementManifest>();
  #claim: RetiredEntries | undefined;

  claim(retired: RetiredEntries): void {
    this.#claim = retired;
  }

  add(index: number, bytes: Uint8Array): void {
    const manifest = readManifest(bytes);
    if (manifest !== undefined) this.#manifests.set(index, manifest);
  }

  finish(): readonly Fault[] {
    const claim = this.#claim;
    if (claim === undefined) return [];
    const manifest = this.#manifests.get(claim.manifest);
    if (manifest?.to !== claim.to) {
      const detail = `the entries 0 to ${claim.to - 1} are not there, and no entry of the log retires them`;
      return [{ kind: 'gap', index: 0, detail }];
    }
    const claimed: unknown[] = [claim.frontier, claim.records];
    if (JSON.stringify(claimed) === JSON.stringify([manifest.frontier, manifest.records])) return [];
    const detail = `what is left of the entries 0 to ${claim.to - 1} is not what the manifest at ${claim.manifest} says of them`;
    return [{ kind: 'altered', index: 0, detail }];
  }

  /** What is shown, in words; empty when nothing is retired. */
  summary(): string {
    if (this.#claim === undefined) return '';
    return `, 0 to ${this.#claim.to - 1} retired by the manifest at ${this.#claim.manifest}`;
  }
}
