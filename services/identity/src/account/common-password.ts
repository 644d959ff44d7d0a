/** Longest run of digits and punctuation around a common word that does not make it a different password. */
const decorationLengthMax = 8;

/**
 * Whether a guesser would try the password early (NIST SP 800-63B §3.1.1.2): it is in `common`, or is such an entry
 * with digits and punctuation around it, or repeats a short unit, or runs along the alphabet or the digits.
 * `common` is in lower case.
 */
export function isCommonPassword(password: string, common: ReadonlySet<string>): boolean {
  const folded = password.toLowerCase();
  if (common.has(folded)) return true;
  const word = folded.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, '');
  if (word.length >= 4 && folded.length - word.length <= decorationLengthMax && common.has(word)) return true;
  const unit = repeatedUnit(folded);
  return (unit !== undefined && (unit.length <= 4 || common.has(unit))) || isRun(folded);
}

/** The shortest text whose repetition is `text`, if it is one at all. */
function repeatedUnit(text: string): string | undefined {
  const at = (text + text).indexOf(text, 1);
  return at === text.length ? undefined : text.slice(0, at);
}

/** `abcdefghijkl`, `987654321098`: every step is the same one up or down, with 9 next to 0. */
function isRun(text: string): boolean {
  const steps = new Set<number>();
  for (let i = 1; i < text.length; i++) {
    const step = text.charCodeAt(i) - text.charCodeAt(i - 1);
    steps.add(Math.abs(step) === 9 ? -Math.sign(step) : step);
  }
  return steps.size === 1 && [1, -1].includes([...steps][0] ?? 0);
}
