/** The number after `--name` on the command line, else `preset`. */
export function numberOption(name, preset) {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? preset : Number(process.argv[at + 1]);
}
