import { createReadStream, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { databaseSsl, openDatabase } from '@prime-nest/kit/database';
import { silentLogger } from '@prime-nest/kit/log';
import { Secret } from '@prime-nest/kit/secret';
import { ZodError } from 'zod';
import { CheckLogCommand } from './check-log.command.js';
import { ArchiveCheck } from './archive-check.js';
import { ExportCheck } from './export-check.js';
import { checkConsistency, checkProofFile, readCheckpoint } from './files.js';
import type { FileCheck } from './files.js';
import { checkLive } from './live.command.js';
import type { Fault, FaultKind, KnownTree } from './log-check.js';
import { StoredLogStore } from './stored-log.store.js';
import { MalformedNote, parseVerifierKey } from '@prime-nest/kit/tlog/checkpoint';
import type { VerifierKey } from '@prime-nest/kit/tlog/checkpoint';

const usage = `audit-verify: checks the audit log, offline and without trusting the system that keeps it.

  audit-verify proof FILE                     answer of GET /audit/events/:id/proof: is the entry in the log?
  audit-verify export FILE                    unfiltered export (NDJSON): every entry there, in order, unchanged?
  audit-verify archive FILE PROOF             retired entries, and the proof of the entry that retired them
  audit-verify consistency OLD NEW FILE       two checkpoints, answer of GET /audit/consistency: does NEW begin with OLD?
  audit-verify checkpoint FILE                is the checkpoint well-formed, and signed by --key?
  audit-verify live URL                       a running system (https://.../api): signed, not shorter than --kept, and
                                              grown from it; AUDIT_TOKEN or AUDIT_TOKEN_FILE where it wants a token
  audit-verify database                       the stored log itself (AUDIT_DB_URL or AUDIT_DB_URL_FILE, any role that
                                              may read it)

  --key KEY     verifier key (<name>+<id>+<base64>) that must have signed, or one of several after a change of keys;
                without any, signatures are not checked
  --kept FILE   a checkpoint that was kept earlier and must still hold; may be given several times (export, live,
                  database)
  --save FILE     keeps the checkpoint that was shown, when nothing is wrong (live)
  --archive FILE  retired entries that the export continues; may be given several times, the oldest first (export)

Exit code: 0 nothing wrong, 2 signature, 3 entry altered or not in the log, 4 histories differ (fork), 5 gap,
6 entries missing at the end, or retired and not to be judged, 7 malformed input, 8 rollback (the live log is shorter than
one that was kept), 64 usage, 69 not reachable. With several faults, the lowest.
`;

const exitCodes: Readonly<Record<FaultKind, number>> = {
  signature: 2,
  altered: 3,
  fork: 4,
  gap: 5,
  missing: 6,
  malformed: 7,
  rollback: 8,
};
const usageCode = 64;
const unavailableCode = 69;
const linesMax = 100;

class UsageError extends Error {}

interface Options {
  readonly keys: readonly VerifierKey[];
  readonly kept: readonly string[];
  readonly archives: readonly string[];
  readonly save: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface VerifyOptions {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly write: (text: string) => void;
}

/** Runs one `audit-verify` command line and answers its exit code. Writes what it found, line by line; never throws. */
export async function verify(options: VerifyOptions): Promise<number> {
  try {
    return await check(options);
  } catch (error) {
    const code = codeOf(error);
    options.write(`audit-verify: ${error instanceof Error ? error.message : String(error)}\n`);
    if (code === usageCode) options.write(`\n${usage}`);
    return code;
  }
}

async function check({ args, env, write }: VerifyOptions): Promise<number> {
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      key: { type: 'string', multiple: true },
      kept: { type: 'string', multiple: true },
      archive: { type: 'string', multiple: true },
      save: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    write(usage);
    return 0;
  }
  const options = {
    keys: (values.key ?? []).map(parseVerifierKey),
    kept: values.kept ?? [],
    archives: values.archive ?? [],
    save: values.save,
    env,
  };
  const [command, ...files] = positionals;
  const startedAt = performance.now();
  const { faults, summary } = await run(command, files, options);
  for (const { kind, detail } of faults.slice(0, linesMax)) write(`${kind}: ${detail}\n`);
  if (faults.length > linesMax) write(`and ${faults.length - linesMax} more\n`);
  if (faults.length > 0) return Math.min(...faults.map(({ kind }) => exitCodes[kind]));
  const unsigned = options.keys.length === 0 ? ' (signatures not checked: no --key)' : '';
  write(`ok: ${summary}${unsigned}, ${Math.round(performance.now() - startedAt)} ms\n`);
  return 0;
}

type Command = (files: readonly [string, string, string], options: Options) => FileCheck | Promise<FileCheck>;

const commands: Readonly<Record<string, { readonly files: number; readonly run: Command }>> = {
  proof: { files: 1, run: ([file], { keys }) => checkProofFile(readJson(file), keys) },
  export: { files: 1, run: ([file], options) => checkExport(file, options) },
  archive: { files: 2, run: ([file, proof], { keys }) => checkArchive(file, new ArchiveCheck(readJson(proof), keys)) },
  consistency: {
    files: 3,
    run: ([older, newer, file], { keys }) =>
      checkConsistency({ older: readText(older), newer: readText(newer) }, readJson(file), keys),
  },
  checkpoint: {
    files: 1,
    run: ([file], { keys }) => {
      const { checkpoint, faults } = readCheckpoint(readText(file), keys);
      return { faults, summary: `${checkpoint.origin} had ${checkpoint.size} entries` };
    },
  },
  live: { files: 1, run: ([url], options) => checkRunning(url, options) },
  database: { files: 0, run: (_files, options) => checkDatabase(options) },
};

function run(name: string | undefined, files: readonly string[], options: Options): FileCheck | Promise<FileCheck> {
  const command = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined)
    throw new UsageError(name === undefined ? 'a command is missing' : `there is no command ${name}`);
  if (files.length !== command.files) throw new UsageError(`${name ?? ''} takes ${command.files} file(s)`);
  const [first = '', second = '', third = ''] = files;
  return command.run([first, second, third], options);
}

async function checkExport(file: string, options: Options): Promise<FileCheck> {
  const { kept, faults } = readKept(options);
  const check = new ExportCheck({ keys: options.keys, kept });
  for (const part of [...options.archives, file]) await eachLine(part, (line) => check.add(line));
  const result = check.finish();
  return { ...result, faults: [...faults, ...result.faults] };
}

async function checkArchive(file: string, check: ArchiveCheck): Promise<FileCheck> {
  await eachLine(file, (line) => check.add(line));
  return check.finish();
}

async function eachLine(file: string, take: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    if (line !== '') take(line);
  }
}

async function checkRunning(url: string, { keys, kept, save, env }: Options): Promise<FileCheck> {
  if (!/^https?:\/\//.test(url)) throw new UsageError('live takes the address of the API');
  // A signature that anybody may have made says nothing of a live system.
  if (keys.length === 0) throw new UsageError('live needs --key');
  const token = readSecret(env, 'AUDIT_TOKEN');
  const known = kept.map((file) => ({ name: file, ...readCheckpoint(readText(file), keys) }));
  const result = await checkLive({ url, token, keys, kept: known });
  const faults = [...known.flatMap((one) => one.faults), ...result.faults];
  if (faults.length === 0 && save !== undefined) {
    writeFileSync(`${save}.next`, result.note);
    renameSync(`${save}.next`, save);
  }
  return { faults, summary: result.summary };
}

/** The variable, or the content of the file that `<name>_FILE` points to. */
function readSecret(env: Options['env'], name: string): string | undefined {
  const file = env[`${name}_FILE`];
  return env[name] ?? (file === undefined ? undefined : readText(file).trim());
}

async function checkDatabase(options: Options): Promise<FileCheck> {
  const { env } = options;
  const url = readSecret(env, 'AUDIT_DB_URL');
  if (url === undefined) throw new UsageError('AUDIT_DB_URL is not set');
  const { kept, faults } = readKept(options);
  const database = await openDatabase({
    url: new Secret(url),
    schema: 'audit',
    entities: [],
    ssl: databaseSsl({ DB_SSL: env['DB_SSL'] === 'true', DB_SSL_CA_FILE: env['DB_SSL_CA_FILE'] }),
    poolMax: 1,
    log: silentLogger(),
    applicationName: 'audit-verify',
    startTimeoutMs: 2_000,
  });
  try {
    const command = new CheckLogCommand({ database, log: new StoredLogStore() });
    const result = await command.run({ kept, keys: options.keys });
    return {
      faults: [...faults, ...result.faults],
      summary: `${result.entries} entries are what was hashed${result.summary}`,
    };
  } finally {
    await database.close();
  }
}

function readKept({ kept, keys }: Options): { kept: KnownTree[]; faults: Fault[] } {
  const read = kept.map((file) => ({ file, ...readCheckpoint(readText(file), keys) }));
  return {
    kept: read.map(({ file, checkpoint }) => ({
      size: Number(checkpoint.size),
      root: checkpoint.root,
      name: `the checkpoint kept in ${file}`,
    })),
    faults: read.flatMap(({ faults }) => faults),
  };
}

function readText(file: string): string {
  return readFileSync(file, 'utf8');
}

function readJson(file: string): unknown {
  return JSON.parse(readText(file));
}

function codeOf(error: unknown): number {
  const code: unknown = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  const isArgument = typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS');
  if (error instanceof UsageError || isArgument) return usageCode;
  if (
    error instanceof SyntaxError ||
    error instanceof ZodError ||
    error instanceof MalformedNote ||
    error instanceof RangeError
  )
    return exitCodes.malformed;
  return unavailableCode;
}
