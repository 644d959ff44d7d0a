import { isAscii } from 'node:buffer';
import { MsgImpl } from '@nats-io/transport-node';
import type { Msg, MsgHdrs } from '@nats-io/transport-node';

/** Of a header that was sent twice the first value counts. */
export interface ReceivedHeaders {
  get(name: string): string | undefined;
}

/**
 * The headers of a message, read where they stand when they are asked for. The client would make a list of each header
 * and check all of them against the rules for sending, which costs more than answering a small request.
 */
export function receivedHeaders(message: Msg): ReceivedHeaders {
  if (!(message instanceof MsgImpl)) return decoded(message);
  const length = message._msg.hdr;
  if (length <= 0) return none;
  const block = Buffer.from(message._rdata.buffer, message._rdata.byteOffset, length);
  // What is not ASCII is UTF-8; nothing that we send is.
  return isAscii(block) ? new HeaderBlock(block.toString('latin1')) : decoded(message);
}

const none: ReceivedHeaders = new Map<string, string>();

/** The client throws at headers that nobody may send; thrown from here it would end the connection for everybody. */
function decoded(message: Msg): ReceivedHeaders {
  try {
    return readHeaders(message.headers);
  } catch {
    return none;
  }
}

/** The same from headers that the client has decoded. */
export function readHeaders(received: MsgHdrs | undefined): ReceivedHeaders {
  const result = new Map<string, string>();
  if (received !== undefined) for (const [name, [value = '']] of received) result.set(name, value);
  return result;
}

/** Where the line of each name begins. Before the first header stands the line of the protocol's version. */
const beginnings = new Map<string, string>();

class HeaderBlock implements ReceivedHeaders {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** A value with half of a line break in it is no header. */
  get(name: string): string | undefined {
    let beginning = beginnings.get(name);
    if (beginning === undefined) beginnings.set(name, (beginning = `\r\n${name}:`));
    const at = this.#text.indexOf(beginning);
    if (at === -1) return undefined;
    const end = this.#text.indexOf('\r\n', at + beginning.length);
    const value = this.#text.slice(at + beginning.length, end === -1 ? undefined : end).trim();
    return value.includes('\n') || value.includes('\r') ? undefined : value;
  }
}
