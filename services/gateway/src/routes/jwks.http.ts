import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { PublicKey } from '@prime-nest/contracts/claims';
import { AppError } from '@prime-nest/contracts/errors';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { KeySet } from '../access/key-set.js';
import { Public } from '../access/route-access.decorator.js';
import { Describe } from '../http/describe.decorator.js';
import { KEYS } from '../tokens.js';

const Jwks = z.object({ keys: z.array(PublicKey) }).meta({ id: 'Jwks' });

/** Short enough that a key which was taken back disappears soon, long enough that verifiers do not hammer us. */
const cacheSeconds = 300;

@ApiTags('keys')
@Controller('.well-known')
export class JwksHttp {
  constructor(@Inject(KEYS) private readonly keys: KeySet) {}

  @Get('jwks.json')
  @Public({ isLimited: false })
  @Describe({
    summary: 'The public keys that verify access tokens (RFC 7517)',
    response: Jwks,
    example: {
      keys: [
        {
          kty: 'RSA',
          kid: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
          use: 'sig',
          alg: 'RS256',
          n: 'sXch…',
          e: 'AQAB',
        },
      ],
    },
  })
  list(@Res({ passthrough: true }) reply: FastifyReply): z.output<typeof Jwks> {
    if (!this.keys.isLoaded) throw new AppError('unavailable');
    reply.header('cache-control', `public, max-age=${cacheSeconds}`);
    return { keys: [...this.keys.published()] };
  }
}
