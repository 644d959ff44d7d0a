import {
  constants,
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  privateEncrypt,
  sign,
} from 'node:crypto';
import { encode, goodHeader, signText, signToken } from './tokens.ts';
import type { SigningKey } from './tokens.ts';

/** A credential that must not be accepted, as the value of an `Authorization` header. */
export interface TokenAttack {
  readonly name: string;
  readonly authorization: string;
}

export interface AttackOptions {
  /** The key that the gateway trusts, so that nothing but the attack is wrong with a token. */
  readonly key: SigningKey;
  /** Claims of a token that would be accepted. */
  readonly claims: Record<string, unknown> & { readonly iat: number; readonly exp: number };
  /** An address that nobody must ever ask. */
  readonly canaryUrl: string;
}

/** The known ways to talk a verifier into a token, on top of a token that is good. */
export function tokenAttacks(options: AttackOptions): TokenAttack[] {
  const tokens = [...chosenAlgorithms(options), ...chosenKeys(options), ...headers(options), ...payloads(options)];
  return [
    ...tokens.map(({ name, token }) => ({ name, authorization: `Bearer ${token}` })),
    ...signatures(options).map(({ name, token }) => ({ name, authorization: `Bearer ${token}` })),
    ...spellings(options),
  ];
}

interface Named {
  readonly name: string;
  readonly token: string;
}

const join = (header: object, payload: object | string, mac: string | Buffer) =>
  `${encode(JSON.stringify(header))}.${encode(typeof payload === 'string' ? payload : JSON.stringify(payload))}.${typeof mac === 'string' ? mac : mac.toString('base64url')}`;
const inputOf = (token: string) => Buffer.from(token.split('.').slice(0, 2).join('.'));

function chosenAlgorithms({ key, claims }: AttackOptions): Named[] {
  const header = goodHeader(key);
  const der = createPublicKey(key.publicKeyPem).export({ type: 'spki', format: 'der' });
  const secrets: [string, string | Buffer][] = [
    ['the PEM', key.publicKeyPem],
    ['the PEM without its last newline', key.publicKeyPem.trimEnd()],
    ['the DER', der],
    ['the JWK', JSON.stringify(key.jwk)],
    ['the modulus', Buffer.from(key.jwk.n, 'base64url')],
    ['nothing', ''],
  ];
  const good = signToken(key, claims);
  return [
    ...['none', 'None', 'NONE', 'nOnE', ' none', 'none\0', ''].flatMap((alg) => [
      { name: `alg ${JSON.stringify(alg)}, no signature`, token: join({ ...header, alg }, claims, '') },
      {
        name: `alg ${JSON.stringify(alg)}, signature of another token`,
        token: join({ ...header, alg }, claims, good.split('.')[2] ?? ''),
      },
    ]),
    ...['256', '384', '512'].flatMap((bits) =>
      secrets.map(([what, secret]) => {
        const unsigned = join({ ...header, alg: `HS${bits}` }, claims, '');
        const mac = createHmac(`sha${bits}`, secret).update(inputOf(unsigned)).digest();
        return {
          name: `HS${bits} with ${what} of the public key as secret`,
          token: unsigned + mac.toString('base64url'),
        };
      }),
    ),
    ...['RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((alg) => {
      const unsigned = join({ ...header, alg }, claims, '');
      const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
      const options = { key: key.privateKey, ...(alg.startsWith('PS') ? pss : {}) };
      return {
        name: `${alg}, signed so`,
        token: unsigned + sign(`sha${alg.slice(2)}`, inputOf(unsigned), options).toString('base64url'),
      };
    }),
    ...[['RS256'], { alg: 'RS256' }, 256, null, 'rs256', 'RS256 ', 'RS256\0'].map((alg) => ({
      name: `alg ${JSON.stringify(alg)}`,
      token: signToken(key, claims, { ...header, alg }),
    })),
  ];
}

function chosenKeys({ key, claims, canaryUrl }: AttackOptions): Named[] {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ed = generateKeyPairSync('ed25519');
  const own = { ...key, privateKey: rsa.privateKey };
  const jwk = rsa.publicKey.export({ format: 'jwk' });
  const header = goodHeader(key);
  const urls = [
    canaryUrl,
    `${canaryUrl}/jwks.json`,
    `${canaryUrl}#${key.jwk.kid}`,
    canaryUrl.replace('http:', 'HTTP:'),
  ];
  const pointers = ['jku', 'x5u', 'kid', 'iss', 'x5t#S256', 'url'];
  const elliptic = (alg: string, pair: typeof ec, more: object) => {
    const unsigned = join({ ...header, alg, ...more }, claims, '');
    const mac = sign(alg === 'EdDSA' ? null : 'sha256', inputOf(unsigned), {
      key: pair.privateKey,
      dsaEncoding: 'ieee-p1363',
    });
    return unsigned + mac.toString('base64url');
  };
  return [
    { name: 'a key of the attacker under our kid', token: signToken(own, claims, header) },
    { name: 'jwk with the key of the attacker', token: signToken(own, claims, { ...header, jwk }) },
    { name: 'jwk instead of kid', token: signToken(own, claims, { alg: 'RS256', typ: 'at+jwt', jwk }) },
    { name: 'jwk with our own key', token: signToken(key, claims, { ...header, jwk: key.jwk }) },
    {
      name: 'x5c with the key of the attacker',
      token: signToken(own, claims, {
        ...header,
        x5c: [rsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')],
      }),
    },
    ...pointers.flatMap((member) =>
      urls.map((url) => ({ name: `${member} ${url}`, token: signToken(own, claims, { ...header, [member]: url }) })),
    ),
    ...['jku', 'x5u'].map((member) => ({
      name: `${member} although our key has signed`,
      token: signToken(key, claims, { ...header, [member]: canaryUrl }),
    })),
    { name: 'ES256 with jwk', token: elliptic('ES256', ec, { jwk: ec.publicKey.export({ format: 'jwk' }) }) },
    { name: 'ES256 under our kid', token: elliptic('ES256', ec, {}) },
    { name: 'ES256 with r and s zero', token: join({ ...header, alg: 'ES256' }, claims, Buffer.alloc(64)) },
    { name: 'EdDSA with jwk', token: elliptic('EdDSA', ed, { jwk: ed.publicKey.export({ format: 'jwk' }) }) },
    ...[
      '../../../../dev/null',
      '/proc/self/environ',
      "x' union select 'k",
      '| id',
      '__proto__',
      'constructor',
      'toString',
      '',
      '0',
      `${key.jwk.kid} `,
      `${key.jwk.kid}\0`,
      key.jwk.kid.toUpperCase(),
      'k'.repeat(4_000),
    ].map((kid) => ({
      name: `kid ${JSON.stringify(kid.slice(0, 40))}`,
      token: signToken(own, claims, { ...header, kid }),
    })),
    ...[[key.jwk.kid], { $ne: null }, 0, true, null].map((kid) => ({
      name: `kid ${JSON.stringify(kid)}`,
      token: signToken(key, claims, { ...header, kid }),
    })),
  ];
}

function headers({ key, claims }: AttackOptions): Named[] {
  const header = goodHeader(key);
  const text = JSON.stringify(header);
  const payload = JSON.stringify(claims);
  const over: Record<string, unknown>[] = [
    { crit: ['exp'] },
    { crit: [] },
    { crit: ['urn:unknown'], 'urn:unknown': 1 },
    { b64: false, crit: ['b64'] },
    { b64: false },
    { b64: true },
    { zip: 'DEF' },
    { cty: 'JWT' },
    { typ: 'JWT' },
    { typ: 'jwt' },
    { typ: 'application/at+jwt' },
    { typ: 'at+jwt ' },
    { typ: 'rt+jwt' },
    { typ: null },
    { nonce: 'x' },
    { enc: 'A128GCM' },
    { exp: 9_999_999_999 },
    { p2c: 2 ** 31 },
  ];
  const unencoded = `${encode(JSON.stringify({ ...header, b64: false, crit: ['b64'] }))}.${payload}`;
  const inner = signToken(key, claims);
  return [
    ...over.map((more) => ({
      name: `header with ${JSON.stringify(more)}`,
      token: signToken(key, claims, { ...header, ...more }),
    })),
    ...['alg', 'typ', 'kid'].map((member) => ({
      name: `header without ${member}`,
      token: signToken(key, claims, { ...header, [member]: undefined }),
    })),
    { name: 'alg twice, the first none', token: signText(key, text.replace('{', '{"alg":"none",'), payload) },
    { name: 'alg twice, the last none', token: signText(key, text.replace('}', ',"alg":"none"}'), payload) },
    {
      name: 'kid twice, once escaped',
      token: signText(key, text.replace('}', `,"k\\u0069d":"${header.kid}"}`), payload),
    },
    { name: 'header with __proto__', token: signText(key, text.replace('{', '{"__proto__":{"alg":"none"},'), payload) },
    { name: 'header in an array', token: signText(key, `[${text}]`, payload) },
    { name: 'header with a byte order mark', token: signText(key, `\ufeff${text}`, payload) },
    { name: 'header that is null', token: signText(key, 'null', payload) },
    {
      name: 'header 3,000 levels deep',
      token: signText(key, `{"a":${'['.repeat(1_500)}${']'.repeat(1_500)}}`, payload),
    },
    {
      name: 'payload not encoded',
      token: `${unencoded}.${sign('RSA-SHA256', Buffer.from(unencoded), key.privateKey).toString('base64url')}`,
    },
    { name: 'payload detached', token: inner.replace(/\.[^.]*\./, '..') },
    { name: 'a token in a token', token: signText(key, JSON.stringify({ ...header, cty: 'JWT' }), inner) },
    { name: 'a token as payload under a good header', token: signText(key, text, inner) },
    { name: 'five parts, as encrypted', token: `${encode('{"alg":"dir","enc":"A128GCM"}')}..AAAA.AAAA.AAAA` },
    {
      name: 'JSON serialisation',
      token: JSON.stringify({ protected: encode(text), payload: encode(payload), signature: inner.split('.')[2] }),
    },
  ];
}

function payloads({ key, claims }: AttackOptions): Named[] {
  const { iat } = claims;
  const text = JSON.stringify(claims);
  const changed = (over: Record<string, unknown>, name = JSON.stringify(over).slice(0, 60)): Named => ({
    name: `claims ${name}`,
    token: signToken(key, { ...claims, ...over }),
  });
  const odd = [null, '', [], {}, true, 1.5, -1, '1', 'a\0b'];
  const written = (name: string, change: (payload: string) => string): Named => ({
    name: `payload with ${name}`,
    token: signText(key, JSON.stringify(goodHeader(key)), change(text)),
  });
  return [
    changed({ iat: iat - 1_000, exp: iat - 100 }, 'expired'),
    changed({ iat: iat - 1_000, exp: iat }, 'expired just now'),
    changed({ iat: iat + 3_600, exp: iat + 7_200 }, 'issued in the future'),
    changed({ nbf: iat + 3_600 }, 'nbf in the future'),
    changed({ nbf: iat }, 'nbf at all'),
    changed({ exp: iat + 10 * 365 * 86_400 }, 'living ten years'),
    changed({ exp: iat }, 'living no time'),
    changed({ aud: [claims['aud']] }),
    changed({ aud: [[claims['aud']]] }),
    changed({ aud: [claims['aud'], 'other'] }),
    changed({ aud: 'other' }),
    changed({ aud: `${String(claims['aud'])} ` }),
    changed({ iss: 'https://evil.test' }),
    changed({ iss: [claims['iss']] }),
    changed({ iss: `${String(claims['iss'])}/` }),
    changed({ roles: ['admin'] }),
    changed({ scope: '*' }),
    changed({ client_id: 'x' }),
    changed({ admin: true }),
    ...Object.keys(claims).flatMap((name) => [
      changed({ [name]: undefined }, `without ${name}`),
      ...odd.filter((value) => !(name === 'ver' && value === 1)).map((value) => changed({ [name]: value })),
    ]),
    written('exp 1e999', (payload) => payload.replace(/"exp":\d+/, '"exp":1e999')),
    written('exp as 2^53+1', (payload) => payload.replace(/"exp":\d+/, '"exp":9007199254740993')),
    written('exp twice', (payload) => payload.replace('{', '{"exp":1,')),
    written('exp twice, the last one long', (payload) => payload.replace('}', ',"exp":9999999999}')),
    written('sub twice, once escaped', (payload) => payload.replace('{', `{"s\\u0075b":"${String(claims['sub'])}",`)),
    written('__proto__', (payload) => payload.replace('{', '{"__proto__":{"ver":9},')),
    written('a byte order mark', (payload) => `\ufeff${payload}`),
    written('text after it', (payload) => `${payload}x`),
    written('itself twice', (payload) => payload + payload),
    written('an array around it', (payload) => `[${payload}]`),
    written('a comment', (payload) => payload.replace('{', '{/**/')),
    written('1,000 levels', (payload) => payload.replace('{', `{"x":${'['.repeat(1_000)}${']'.repeat(1_000)},`)),
  ];
}

/** Signatures that a sloppy reading of PKCS #1 lets pass, made with the real private key. */
function signatures({ key, claims }: AttackOptions): Named[] {
  const good = signToken(key, claims);
  const input = inputOf(good);
  const mac = Buffer.from(good.split('.')[2] ?? '', 'base64url');
  const size = mac.length;
  const digestInfo = Buffer.from('3031300d060960864801650304020105000420', 'hex');
  const withoutNull = Buffer.from('302f300b0609608648016503040201' + '0420', 'hex');
  const sha1Info = Buffer.from('3021300906052b0e03021a05000414', 'hex');
  const hash = (name: string) => createHash(name).update(input).digest();
  const pad = (tail: Buffer, filler = 0xff, type = 1) =>
    Buffer.concat([Buffer.from([0, type]), Buffer.alloc(size - 3 - tail.length, filler), Buffer.from([0]), tail]);
  const short = (tail: Buffer) =>
    Buffer.concat([
      Buffer.from([0, 1]),
      Buffer.alloc(8, 0xff),
      Buffer.from([0]),
      tail,
      Buffer.alloc(size - 11 - tail.length, 0x41),
    ]);
  const whole = Buffer.concat([digestInfo, hash('sha256')]);
  const blocks: [string, Buffer][] = [
    ['DigestInfo without NULL', pad(Buffer.concat([withoutNull, hash('sha256')]))],
    ['short padding and garbage at the end', short(whole)],
    ['padding of zeros', pad(whole, 0)],
    ['block type 2', pad(whole, 0xff, 2)],
    ['the digest without DigestInfo', pad(hash('sha256'))],
    ['the DigestInfo of SHA-1', pad(Buffer.concat([sha1Info, hash('sha1')]))],
  ];
  const bit = (at: number) => Buffer.from(mac.map((byte, i) => (i === at ? byte ^ 1 : byte)));
  const altered = (name: string, changed: Buffer | string): Named => ({
    name: `signature: ${name}`,
    token: `${input.toString()}.${typeof changed === 'string' ? changed : changed.toString('base64url')}`,
  });
  return [
    ...blocks.map(([name, block]) =>
      altered(name, privateEncrypt({ key: key.privateKey, padding: constants.RSA_NO_PADDING }, block)),
    ),
    ...['RSA-SHA1', 'RSA-SHA384', 'RSA-SHA512', 'RSA-MD5'].map((name) =>
      altered(name, sign(name, input, key.privateKey)),
    ),
    altered(
      'PSS',
      sign('RSA-SHA256', input, { key: key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
    ),
    altered('none', ''),
    altered('zeros', Buffer.alloc(size)),
    altered('ones', Buffer.alloc(size, 0xff)),
    altered('the number 1', Buffer.concat([Buffer.alloc(size - 1), Buffer.from([1])])),
    altered('one byte less', mac.subarray(0, -1)),
    altered('a zero before', Buffer.concat([Buffer.from([0]), mac])),
    altered('a zero after', Buffer.concat([mac, Buffer.from([0])])),
    ...[0, 1, size - 1].map((at) => altered(`bit of byte ${at} changed`, bit(at))),
  ];
}

/** One token has one spelling, in one header, under one scheme. */
function spellings({ key, claims }: AttackOptions): TokenAttack[] {
  const good = signToken(key, claims);
  const [head = '', body = '', mac = ''] = good.split('.');
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const spare = [...alphabet].filter(
    (last) => last !== good.at(-1) && alphabet.indexOf(last) >> 4 === alphabet.indexOf(good.at(-1) ?? 'A') >> 4,
  );
  const texts: [string, string][] = [
    ['padded', `${good}=`],
    ['padded twice', `${good}==`],
    ['padded head', `${head}=.${body}.${mac}`],
    ['padded body', `${head}.${body}=.${mac}`],
    ['the other alphabet', `${head}.${body}.${Buffer.from(mac, 'base64url').toString('base64')}`],
    ['percent-encoded', `${head}.${body}.${encodeURIComponent(`${mac}=`)}`],
    ['a dot more', `${good}.`],
    ['a dot before', `.${good}`],
    ['a part more', `${good}.${mac}`],
    ['two parts', `${head}.${body}`],
    ['one part', head],
    ['commas', good.replaceAll('.', ',')],
    ['a space inside', `${head}. ${body}.${mac}`],
    ['a tab inside', `${head}.\t${body}.${mac}`],
    ['NUL after', `${good}%00`],
    ['twice', `${good} ${good}`],
    ['twice with a comma', `${good}, Bearer ${good}`],
    ['quoted', `"${good}"`],
    ['8 KB and more', `${good}${'A'.repeat(8_192)}`],
    ['upper case', good.toUpperCase()],
    ['a parameter after', `${good}; realm=x`],
    ['empty', ''],
    ['dots', '..'],
    ['null', 'null'],
    ...spare.slice(0, 15).map((last): [string, string] => [`spare bits ${last}`, good.slice(0, -1) + last]),
  ];
  return [
    ...texts.map(([name, text]) => ({ name: `spelling: ${name}`, authorization: `Bearer ${text}` })),
    ...['bearer', 'BEARER', 'Bearer:', 'Token', 'JWT', 'Basic', 'DPoP', 'Bearer Bearer', ''].map((scheme) => ({
      name: `scheme ${JSON.stringify(scheme)}`,
      authorization: `${scheme} ${good}`,
    })),
    { name: 'two spaces after the scheme', authorization: `Bearer  ${good}` },
    { name: 'a tab after the scheme', authorization: `Bearer\t${good}` },
    { name: 'no space after the scheme', authorization: `Bearer${good}` },
  ];
}
