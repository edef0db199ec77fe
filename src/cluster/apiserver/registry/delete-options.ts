/** Body and query of a delete (meta/v1 DeleteOptions). */
import type { DeleteOptions } from '../../../gen/kube-meta-v1.js';
import { badRequest, invalid, type FieldError } from '../../api/status.js';
import { dryRunErrors, notSupported } from './write-options.js';

const OF = { group: 'meta.k8s.io', resource: 'DeleteOptions' };
const POLICIES: readonly string[] = ['Foreground', 'Background', 'Orphan'];

/** Options of the query, for a delete without a body. Throws: ApiError 400. */
export function deleteOptionsOf(query: URLSearchParams): DeleteOptions {
  const options: DeleteOptions = { kind: 'DeleteOptions', apiVersion: 'v1' };
  const grace = query.get('gracePeriodSeconds');
  if (grace !== null) {
    if (!/^-?\d{1,15}$/.test(grace)) {
      throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(grace)}: invalid syntax`);
    }
    options.gracePeriodSeconds = Number(grace);
  }
  const policy = query.get('propagationPolicy');
  if (policy !== null) options.propagationPolicy = policy;
  const orphan = query.get('orphanDependents');
  if (orphan !== null) options.orphanDependents = orphan === 'true' || orphan === '1';
  const dryRun = query.getAll('dryRun');
  if (dryRun.length > 0) options.dryRun = dryRun;
  return options;
}

/** Throws: ApiError 422. */
export function checkDeleteOptions(options: DeleteOptions): void {
  const errors: FieldError[] = [];
  const { propagationPolicy: policy, orphanDependents, dryRun } = options;
  if (policy !== undefined && !POLICIES.includes(policy)) {
    errors.push(notSupported('propagationPolicy', policy, [...POLICIES, 'nil']));
  } else if (policy !== undefined && orphanDependents !== undefined) {
    errors.push({
      reason: 'FieldValueInvalid',
      field: 'propagationPolicy',
      message: `Invalid value: ${JSON.stringify(policy)}: orphanDependents and deletionPropagation cannot be both set`,
    });
  }
  errors.push(...dryRunErrors(dryRun ?? []));
  if (errors.length > 0) throw invalid(OF, '', errors);
}
