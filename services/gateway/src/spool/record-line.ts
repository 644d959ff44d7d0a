import { crc32 } from 'node:zlib';

/** One record of the spool: an event as it will be published, byte for byte. Its number is its place in its epoch. */
export interface SpoolRecord {
  readonly eventId: string;
  readonly type: string;
  readonly correlationId: string;
  readonly traceparent: string;
  readonly entry: Buffer;
}

/** Text lines, so that a person can read a spool: a checksum of what follows, and a JSON array. */
export function encodeRecord({ eventId, type, correlationId, traceparent, entry }: SpoolRecord): Buffer {
  const json = JSON.stringify([eventId, type, correlationId, traceparent, entry.toString('utf8')]);
  return Buffer.from(`${checksum(json)} ${json}\n`, 'utf8');
}

export interface ReadRecords {
  readonly records: readonly SpoolRecord[];
  /** Bytes after the last record: a crash in the middle of a write left them, or something damaged the file. */
  readonly torn: number;
}

/** The records from the start of `bytes` up to the first one that is not whole. No input makes it throw. */
export function decodeRecords(bytes: Buffer): ReadRecords {
  const records: SpoolRecord[] = [];
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(0x0a, from);
    const record = end === -1 ? undefined : decodeLine(bytes.toString('utf8', from, end));
    if (record === undefined) return { records, torn: bytes.length - from };
    records.push(record);
    from = end + 1;
  }
  return { records, torn: 0 };
}

function decodeLine(line: string): SpoolRecord | undefined {
  const json = line.slice(9);
  if (line.slice(0, 9) !== `${checksum(json)} `) return undefined;
  try {
    const fields: unknown = JSON.parse(json);
    if (!Array.isArray(fields) || fields.length !== 5 || !fields.every((field) => typeof field === 'string')) {
      return undefined;
    }
    const [eventId, type, correlationId, traceparent, entry] = fields as [string, string, string, string, string];
    return { eventId, type, correlationId, traceparent, entry: Buffer.from(entry, 'utf8') };
  } catch {
    return undefined;
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
