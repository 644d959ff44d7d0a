import { SwaggerModule, DocumentBuilder } from '@nestjs/swagger';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { z } from 'zod';
import { completeDocument } from './openapi/complete-document.js';
import { withUpstreamRoutes } from './openapi/upstream-routes.js';
import type { TableRoute } from './upstream/upstream-table.js';

/** The OpenAPI document of the routes: shapes from the schemas that check requests, errors from the error table. */
export function createDocument(nest: NestFastifyApplication): OpenAPIObject {
  const frame = new DocumentBuilder()
    .setTitle('Prime Nest')
    .setDescription(
      'Accounts, sessions, roles, permissions, decisions and the audit log. Errors are problem documents (RFC 9457) with a stable `code`.',
    )
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, 'accessToken')
    .build();
  const document = SwaggerModule.createDocument(nest, frame, {
    operationIdFactory: (controller, method) => `${controller.replace(/Http$/, '').toLowerCase()}.${method}`,
    autoTagControllers: false,
    standardSchemaConverter: (schema, { schemaType }) => convert(schema, schemaType),
  });
  return completeDocument(document);
}

/**
 * Swagger UI under `<prefix>/docs`, the document at `<prefix>/docs-json`: public, like what it describes, and counted by
 * the rate limit as any public route. Not in production unless `API_DOCS` says so.
 * `routes`: those of the route file at the moment, which the document shows beside our own.
 */
export function serveDocument(
  nest: NestFastifyApplication,
  document: OpenAPIObject,
  routes: () => readonly TableRoute[] = () => [],
): void {
  SwaggerModule.setup('docs', nest, document, {
    useGlobalPrefix: true,
    raw: ['json'],
    customSiteTitle: 'Prime Nest API',
    patchDocumentOnRequest: (_request: unknown, _response: unknown, own: OpenAPIObject) =>
      withUpstreamRoutes(own, routes()),
    swaggerOptions: { persistAuthorization: false, displayRequestDuration: true },
  });
}

function convert(
  schema: unknown,
  io: 'input' | 'output',
): { schema: unknown; components?: Record<string, unknown> } | undefined {
  if (!(schema instanceof z.ZodType)) return undefined;
  const converted = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io,
    // Numbers travel as text in a query string: the document shows the number that is meant.
    override: ({ jsonSchema }) => {
      // The format says it; the pattern is the same in three hundred characters.
      if (jsonSchema.type === 'integer' || jsonSchema.format !== undefined) delete jsonSchema.pattern;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      // Answers may gain fields: clients must not refuse what they do not know.
      if (io === 'output') delete jsonSchema.additionalProperties;
    },
  });
  // The one recursive schema, any JSON value, has no name of its own.
  const named = JSON.parse(JSON.stringify(converted).replaceAll('__schema0', 'Json')) as Record<string, unknown>;
  const { definitions = {}, $defs = {}, ...body } = named;
  delete body['$schema'];
  return { schema: body, components: { ...(definitions as object), ...($defs as object) } };
}
