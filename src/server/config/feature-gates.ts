import { parseBool } from '../../base/flags/values.js';

/** A switch for optional behaviour. `isEffective` is false where this release accepts it without doing anything. */
interface GateSpec {
  readonly stage: 'ALPHA' | 'BETA';
  readonly default: boolean;
  readonly isEffective: boolean;
}

export const FEATURE_GATES = {
  StopGRPCServiceOnDefrag: { stage: 'ALPHA', default: false, isEffective: false },
  InitialCorruptCheck: { stage: 'ALPHA', default: false, isEffective: false },
  CompactHashCheck: { stage: 'ALPHA', default: false, isEffective: false },
  TxnModeWriteWithSharedBuffer: { stage: 'BETA', default: true, isEffective: false },
  LeaseCheckpoint: { stage: 'ALPHA', default: false, isEffective: true },
  LeaseCheckpointPersist: { stage: 'ALPHA', default: false, isEffective: true },
  SetMemberLocalAddr: { stage: 'ALPHA', default: false, isEffective: false },
  FastLeaseKeepAlive: { stage: 'BETA', default: true, isEffective: false },
  PriorityRequest: { stage: 'ALPHA', default: false, isEffective: false },
} as const satisfies Record<string, GateSpec>;

export type GateName = keyof typeof FEATURE_GATES;
export type FeatureGates = Readonly<Record<GateName, boolean>>;

export const GATE_NAMES = Object.keys(FEATURE_GATES) as readonly GateName[];

/** Every gate with its stage and whether it is on, for the metrics. */
export function featureStates(
  gates: FeatureGates,
): { readonly name: GateName; readonly stage: string; readonly isEnabled: boolean }[] {
  return GATE_NAMES.map((name) => ({
    name,
    stage: FEATURE_GATES[name].stage,
    isEnabled: gates[name],
  }));
}

/** True if `name` is a gate that can be set one by one. */
export function isGateName(name: string): name is GateName {
  return Object.hasOwn(FEATURE_GATES, name);
}

/**
 * Reads `Gate1=true,Gate2=false`; AllAlpha and AllBeta stand for every gate of their stage, a gate named by
 * itself wins over them.
 *
 * Throws: Error with a text for people.
 */
export function parseFeatureGates(text: string): Map<GateName, boolean> {
  const single = new Map<GateName, boolean>();
  const stages = new Map<string, boolean>();
  for (const part of text.split(',')) {
    const item = part.trim();
    if (item === '') continue;
    const at = item.indexOf('=');
    if (at < 0) throw new Error(`missing bool value for ${item}`);
    const name = item.slice(0, at).trim();
    const valueText = item.slice(at + 1).trim();
    const value = parseBool(valueText);
    if (value === undefined) {
      throw new Error(`invalid value of ${name}=${valueText}, it must be true or false`);
    }
    if (name === 'AllAlpha') stages.set('ALPHA', value);
    else if (name === 'AllBeta') stages.set('BETA', value);
    else if (isGateName(name)) single.set(name, value);
    else throw new Error(`unrecognized feature gate: ${name}`);
  }
  const result = new Map<GateName, boolean>();
  for (const name of GATE_NAMES) {
    const value = single.get(name) ?? stages.get(FEATURE_GATES[name].stage);
    if (value !== undefined) result.set(name, value);
  }
  return result;
}
