/**
 * Writes RESULTS.md. Each bench replaces its own section and leaves what stands between the sections alone, so no
 * figure stands in a section that its command did not write:
 *
 *     writeSection('identity', [`${conditions('npm run bench:identity')}`, '', table].join('\n'));
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chartOf, tablesOf } from './chart.mjs';

const results = path.join(import.meta.dirname, 'RESULTS.md');
const charts = path.join(import.meta.dirname, 'charts');

const introduction = `# Measurements

Written by the commands named in each section and by nothing else, but for what is headed “before and after”. Ratios
travel between machines, absolute figures belong to the machine of their line. A figure that is not here has not been
measured.
`;

/**
 * Puts `markdown`, and a chart of each of its tables, between the markers of the section `name`; the section is added at the end when there is none. The
 * file is replaced in one step: a reader, and a crash, see the old text or the new one.
 */
export function writeSection(name, markdown) {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new Error(`not a section name: ${name}`);
  const begin = `<!-- bench:${name} -->`;
  const end = `<!-- /bench:${name} -->`;
  const before = readOr(introduction);
  const section = [begin, markdown.trim(), ...drawCharts(name, markdown), end].join('\n\n');
  const from = before.indexOf(begin);
  const to = before.indexOf(end);
  if ((from === -1) !== (to === -1) || to < from) throw new Error(`RESULTS.md: the markers of ${name} do not match`);
  const after =
    from === -1
      ? `${before.trimEnd()}\n\n${section}\n`
      : before.slice(0, from) + section + before.slice(to + end.length);
  const temporary = `${results}.${process.pid}`;
  writeFileSync(temporary, after);
  renameSync(temporary, results);
}

/** One line for the top of a section: the command that repeats it, and where and when it ran. */
export function conditions(command) {
  const [cpu] = os.cpus();
  const memory = Math.round(os.totalmem() / 2 ** 30);
  const machine = `${os.availableParallelism()} × ${cpu?.model.trim() ?? 'unknown processor'}, ${memory} GiB`;
  const load = os.loadavg()[0].toFixed(1);
  const day = new Date().toISOString().slice(0, 10);
  return `\`${command}\` on ${machine}, Node ${process.versions.node}, ${day}; load average at its end ${load}.`;
}

/** Draws anew the charts of this section and answers the lines that show them. */
function drawCharts(name, markdown) {
  mkdirSync(charts, { recursive: true });
  for (const file of readdirSync(charts)) {
    if (new RegExp(`^${name}-\\d+\\.svg$`).test(file)) rmSync(path.join(charts, file));
  }
  return tablesOf(markdown).flatMap((table, index) => {
    const svg = chartOf(table);
    if (svg === undefined) return [];
    const file = `${name}-${index + 1}.svg`;
    writeFileSync(path.join(charts, file), svg);
    return [`![${table.header[0] ?? name}](charts/${file})`];
  });
}

function readOr(fallback) {
  try {
    return readFileSync(results, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return fallback;
    throw error;
  }
}
