import { Controller, Inject } from '@nestjs/common';
import { rbacRpc } from '@prime-nest/contracts/rbac';
import type { Decision } from '@prime-nest/contracts/rbac';
import type { RpcParsed, RpcResponse } from '@prime-nest/contracts/rpc';
import { createRpc } from '@prime-nest/kit/bus/server';
import { annotate, isRecorded } from '@prime-nest/kit/telemetry';
import { decide } from './policy/decide.js';
import { explain } from './policy/explain.js';
import type { HistoryStore } from './policy/history.store.js';
import type { Fresh, Replica } from './policy/replica.store.js';
import { decisions as decided, mark } from './telemetry.js';
import { HISTORY, REPLICA } from './tokens.js';

const Rpc = createRpc(rbacRpc);
type Request<S extends keyof typeof rbacRpc> = RpcParsed<typeof rbacRpc, S>;
type Response<S extends keyof typeof rbacRpc> = RpcResponse<typeof rbacRpc, S>;
type DecideResponse = Response<'rbac.access.decide.v1'>;

@Controller()
export class AccessRpc {
  constructor(
    @Inject(REPLICA) private readonly replica: Replica,
    @Inject(HISTORY) private readonly history: HistoryStore,
  ) {}

  @Rpc('rbac.access.decide.v1')
  async decide(request: Request<'rbac.access.decide.v1'>): Promise<Response<'rbac.access.decide.v1'>> {
    return answer(await this.replica.fresh(request.minRevision), request);
  }

  @Rpc('rbac.access.explain.v1')
  async explain({
    atRevision,
    ...check
  }: Request<'rbac.access.explain.v1'>): Promise<Response<'rbac.access.explain.v1'>> {
    if (atRevision === undefined) {
      const { snapshot, nowMs } = await this.replica.fresh();
      return explain(snapshot, check, nowMs);
    }
    const { snapshot, atMs } = await this.history.policyAt(atRevision);
    return explain(snapshot, check, atMs);
  }
}

/** Answers without waiting while the lease is held: nearly always. */
export function decideAtOnce(replica: Replica) {
  return (request: Request<'rbac.access.decide.v1'>): Response<'rbac.access.decide.v1'> | undefined => {
    const held = replica.held(request.minRevision);
    return held === undefined ? undefined : answer(held, request);
  };
}

function answer(
  { snapshot, nowMs }: Fresh,
  { checks }: Request<'rbac.access.decide.v1'>,
): Response<'rbac.access.decide.v1'> {
  const decisions = checks.map((check) => decide(snapshot, check, nowMs));
  count(decisions, snapshot.revision);
  const [only] = decisions;
  return only !== undefined && decisions.length === 1
    ? answerToOne(only, snapshot.revision)
    : { revision: snapshot.revision, decisions };
}

/** There are six decisions, each of them one object, so a revision has six answers to a single check. */
const answersToOne = new Map<Decision, DecideResponse>();

/** Frozen, so that the server encodes it once. */
function answerToOne(decision: Decision, revision: number): DecideResponse {
  const known = answersToOne.get(decision);
  if (known?.revision === revision) return known;
  const made = Object.freeze({ revision, decisions: Object.freeze([decision]) as Decision[] });
  answersToOne.set(decision, made);
  return made;
}

function count(decisions: readonly Decision[], revision: number): void {
  let allowed = 0;
  for (const { effect } of decisions) if (effect === 'allow') allowed++;
  const denied = decisions.length - allowed;
  if (allowed > 0) decided.inc({ effect: 'allow' }, allowed);
  if (denied > 0) decided.inc({ effect: 'deny' }, denied);
  if (isRecorded()) {
    annotate({
      [mark.checks]: decisions.length,
      [mark.allowed]: allowed,
      [mark.denied]: denied,
      [mark.revision]: revision,
    });
  }
}
