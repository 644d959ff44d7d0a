/** Bars for the tables of RESULTS.md. Text in, text out. */

const [width, barHeight, gap, labelWidth, valueWidth] = [720, 18, 8, 290, 90];

/** The tables of a Markdown text: `{ header, rows }` of trimmed cells. */
export function tablesOf(markdown) {
  const tables = [];
  let lines = [];
  for (const line of [...markdown.split('\n'), '']) {
    if (line.startsWith('|')) lines.push(line);
    else {
      if (lines.length > 2) {
        const [header, , ...rows] = lines.map((one) =>
          one
            .slice(1, one.lastIndexOf('|'))
            .split('|')
            .map((cell) => cell.trim()),
        );
        tables.push({ header, rows });
      }
      lines = [];
    }
  }
  return tables;
}

/** `1,234.5 ms` → 1234.5; undefined for a cell that does not begin with a number. */
export function numberOf(cell) {
  const match = /^[*`]*(-?\d[\d,]*(?:\.\d+)?)/.exec(cell);
  return match === null ? undefined : Number(match[1].replaceAll(',', ''));
}

/**
 * An SVG with one bar per row, or undefined where there is nothing to draw. The column is the ratio, where the table
 * has one, else the first in which most rows are numbers.
 */
export function chartOf({ header, rows }) {
  const columns = header.map((_, column) => column).slice(1);
  const isNumeric = (column) =>
    rows.filter((row) => numberOf(row[column] ?? '') !== undefined).length * 2 > rows.length;
  const numeric = columns.filter(isNumeric);
  const column = numeric.find((one) => /ratio|\bof\b|×/i.test(header[one])) ?? numeric[0];
  if (column === undefined || rows.length < 2) return undefined;
  const bars = rows
    .map((row) => ({ label: plain(row[0]), text: plain(row[column] ?? ''), value: numberOf(row[column] ?? '') }))
    .filter(({ value }) => value !== undefined && value >= 0);
  const most = Math.max(...bars.map(({ value }) => value));
  if (bars.length < 2 || most === 0) return undefined;
  const room = width - labelWidth - valueWidth;
  const height = 34 + bars.length * (barHeight + gap);
  const drawn = bars.map(({ label, text, value }, index) => {
    const y = 30 + index * (barHeight + gap);
    const length = Math.max(1, Math.round((value / most) * room));
    return [
      `<text x="${labelWidth - 8}" y="${y + 13}" text-anchor="end">${escape(short(label, 44))}</text>`,
      `<rect x="${labelWidth}" y="${y}" width="${length}" height="${barHeight}" rx="2"/>`,
      `<text x="${labelWidth + length + 6}" y="${y + 13}">${escape(short(text, 14))}</text>`,
    ].join('');
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    '<style>text{font:12px system-ui,sans-serif;fill:#24292f}rect{fill:#4078c0}.title{font-weight:600}',
    '@media(prefers-color-scheme:dark){text{fill:#d0d7de}rect{fill:#6ea8fe}}</style>',
    `<text class="title" x="8" y="18">${escape(plain(header[0]))}: ${escape(plain(header[column]))}</text>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

const plain = (cell) => cell.replaceAll(/[*`]/g, '');
const short = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
