/**
 * Parameters of new hashes: argon2id, 19 MiB, two passes, one lane (OWASP's floor for argon2id). A stored hash made
 * with anything else is replaced at its owner's next sign-in.
 */
export const hashParameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1, outputLen: 32 } as const;

const current = new RegExp(
  `^\\$argon2id\\$v=19\\$m=${hashParameters.memoryCost},t=${hashParameters.timeCost},p=${hashParameters.parallelism}` +
    // 16 bytes of salt and 32 of hash, in base64 without padding.
    '\\$[A-Za-z0-9+/]{22}\\$[A-Za-z0-9+/]{43}$',
);

/** Whether the PHC string has exactly the parameters of new hashes: algorithm, version, cost, salt and length. */
export function isCurrentHash(phc: string): boolean {
  return current.test(phc);
}
