import { Id } from '@prime-nest/contracts/ids';
import { PermissionName } from '@prime-nest/contracts/rbac';
import type { Check, Decision, DenyReason } from '@prime-nest/contracts/rbac';
import { z } from 'zod';

/** Requests and answers of the AuthZEN Authorization API 1.0, and what they mean here. */

const text = z.string().min(1).max(128);
const Properties = z.record(z.string().max(128), z.json()).optional();

export const EvaluationSubject = z.strictObject({ type: text, id: text, properties: Properties });
export const EvaluationAction = z.strictObject({ name: text, properties: Properties });
export const EvaluationResource = z.strictObject({ type: text, id: text, properties: Properties });

export const Evaluation = z
  .strictObject({
    subject: EvaluationSubject,
    action: EvaluationAction,
    resource: EvaluationResource,
    context: Properties,
  })
  .meta({ id: 'Evaluation' });
export type Evaluation = z.output<typeof Evaluation>;

const Semantic = z.enum(['execute_all', 'deny_on_first_deny', 'permit_on_first_permit']);
export type Semantic = z.output<typeof Semantic>;

/** Members at the top are defaults for every evaluation that leaves them out. */
export const Evaluations = Evaluation.partial()
  .extend({
    evaluations: z.array(Evaluation.partial()).min(1).max(100),
    options: z.strictObject({ evaluations_semantic: Semantic.default('execute_all') }).optional(),
  })
  .meta({ id: 'Evaluations' });
export type Evaluations = z.output<typeof Evaluations>;

export const EvaluationResult = z
  .object({ decision: z.boolean(), context: z.object({ reason: z.string(), revision: z.int().optional() }).optional() })
  .meta({ id: 'EvaluationResult' });
export type EvaluationResult = z.output<typeof EvaluationResult>;

/**
 * The check that an evaluation stands for: subject `user`, permission `<resource.type>:<action.name>`. What cannot be
 * a principal or a permission here is denied with that reason, as it would be if it were asked.
 */
export function checkOf({ subject, action, resource }: Evaluation): Check | DenyReason {
  const principal = Id.safeParse(subject.id);
  if (subject.type !== 'user' || !principal.success) return 'unknown_principal';
  const permission = PermissionName.safeParse(`${resource.type}:${action.name}`);
  return permission.success ? { principalId: principal.data, permission: permission.data } : 'unknown_permission';
}

export function resultOf(decision: Decision, revision?: number): EvaluationResult {
  const at = revision === undefined ? {} : { revision };
  if (decision.effect === 'allow') return { decision: true, context: { reason: 'granted', ...at } };
  return { decision: false, context: { reason: decision.reason, ...at } };
}

/** The evaluations of a batch with the defaults filled in; undefined at the places that stay incomplete. */
export function completed({ evaluations, ...rest }: Evaluations): (Evaluation | undefined)[] {
  const { subject, action, resource, context } = rest;
  const defaults = { subject, action, resource, context };
  return evaluations.map((evaluation) => {
    const whole = Evaluation.safeParse({ ...defaults, ...evaluation });
    return whole.success ? whole.data : undefined;
  });
}

/** The results that the semantic asks for: all, or all up to the first deny or permit. */
export function shorten(results: readonly EvaluationResult[], semantic: Semantic): EvaluationResult[] {
  if (semantic === 'execute_all') return [...results];
  const last = results.findIndex(({ decision }) => decision === (semantic === 'permit_on_first_permit'));
  return last < 0 ? [...results] : results.slice(0, last + 1);
}
