/** Whether a client asks for text and not for JSON (RFC 9110 §12.5.1, the one distinction that is made here). */
export function wantsText(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes('text/plain') && !accept.includes('json');
}

export interface InclusionProof {
  readonly index: number;
  readonly proof: readonly string[];
  readonly checkpoint: string;
}

/** A proof in the text form of C2SP tlog-proof: index, hashes, an empty line, the checkpoint. */
export function proofText({ index, proof, checkpoint }: InclusionProof): string {
  return ['c2sp.org/tlog-proof@v1', `index ${index}`, ...proof, '', checkpoint].join('\n');
}

export interface TileAddress {
  readonly level: number;
  readonly index: number;
  readonly width: number;
}

const fullWidth = 256;
const address = /^([0-6])\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/**
 * Reads `<level>/<index>[.p/<width>]` (C2SP tlog-tiles §Merkle tree), for example `0/x001/234` or `1/000.p/17`. The
 * one spelling of an index has no leading groups of zeros.
 */
export function parseTilePath(path: string): TileAddress | undefined {
  const [, level = '', groups = '', partial] = address.exec(path) ?? [];
  if (groups === '' || groups.startsWith('x000/')) return undefined;
  const width = partial === undefined ? fullWidth : Number(partial);
  if (partial !== undefined && width >= fullWidth) return undefined;
  return { level: Number(level), index: Number(groups.replaceAll(/[x/]/g, '')), width };
}
