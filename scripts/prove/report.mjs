/**
 * What a proof found, in one form for all of them: claim, figure, what the control showed, verdict. Printed at the
 * end of each proof; `npm run prove` collects the rows of all through the file named by PROOF_REPORT.
 */
import { writeFileSync } from 'node:fs';

/** @typedef {{ claim: string, figure: string, control: string, isProven: boolean }} ProofRow */

export function createReport() {
  /** @type {ProofRow[]} */
  const rows = [];
  return {
    /**
     * @param {string} claim what is promised, as a sentence
     * @param {{ figure: string, control?: string, isProven: boolean }} found `control`: what the same attack finds where the protection is missing
     */
    add(claim, { figure, control = '', isProven }) {
      rows.push({ claim, figure, control, isProven });
    },
    /** Prints the rows and answers the exit code: 0 when there are rows and every one of them is proven. */
    finish() {
      console.log(`\n${table(rows)}`);
      const isProven = rows.length > 0 && rows.every((row) => row.isProven);
      console.log(isProven ? '\nPROVEN' : '\nNOT PROVEN');
      const file = process.env.PROOF_REPORT;
      if (file !== undefined) writeFileSync(file, JSON.stringify(rows));
      return isProven ? 0 : 1;
    },
  };
}

/** @param {readonly ProofRow[]} rows */
export function table(rows) {
  return rows
    .map(({ claim, figure, control, isProven }) => {
      const lines = [`${isProven ? 'proven' : 'FAILED'}  ${claim}`, `        ${figure}`];
      if (control !== '') lines.push(`        control: ${control}`);
      return lines.join('\n');
    })
    .join('\n');
}
