import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { AssertionKey } from '@prime-nest/contracts/assertion';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Public } from '../access/route-access.decorator.js';
import { Describe } from '../http/describe.decorator.js';
import { ASSERTION_KEYS } from '../tokens.js';

const AssertionJwks = z.object({ keys: z.array(AssertionKey) }).meta({ id: 'AssertionJwks' });

const cacheSeconds = 60;

@ApiTags('keys')
@Controller('.well-known')
export class AssertionJwksHttp {
  constructor(@Inject(ASSERTION_KEYS) private readonly keys: readonly AssertionKey[]) {}

  @Get('assertion-jwks.json')
  @Public({ isLimited: false })
  @Describe({
    summary: 'The public keys that verify what this gateway asserts to services behind it (RFC 8037)',
    description: 'Empty for a gateway without a route file. No access token is verified with these keys.',
    response: AssertionJwks,
    example: {
      keys: [
        {
          kty: 'OKP',
          crv: 'Ed25519',
          kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
          use: 'sig',
          alg: 'EdDSA',
          x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
        },
      ],
    },
  })
  list(@Res({ passthrough: true }) reply: FastifyReply): z.output<typeof AssertionJwks> {
    reply.header('cache-control', `public, max-age=${cacheSeconds}`);
    return { keys: [...this.keys] };
  }
}
