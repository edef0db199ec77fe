/** Pods, Deployments and ReplicaSets against recordings of the real API server. */
import { expect } from 'chai';
import { deployment } from '../../../../src/cluster/api/kinds/apps/deployment.js';
import { replicaSet } from '../../../../src/cluster/api/kinds/apps/replicaset.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject } from '../../../../src/cluster/api/object.js';
import { created, decoded, ownPart, updated, type Answer } from './recorded-workloads.js';
import { recordedSteps, targetOf, type RecordedStep } from './recorded-writes.js';

const KINDS = [pod, deployment, replicaSet] as unknown as readonly Kind[];

function kindOf(path: string): Kind | undefined {
  const { resource, subresource } = targetOf(path);
  return subresource === '' ? KINDS.find((kind) => kind.resource === resource) : undefined;
}

/** Recorded answers that do not follow from the rules of a kind, with who gives them. */
const ELSEWHERE: readonly {
  readonly why: string;
  readonly is: (step: RecordedStep) => boolean;
}[] = [
  { why: 'admission refuses', is: ({ response }) => response.status === 403 },
  { why: 'the store has the name already', is: ({ response }) => response.status === 409 },
  {
    why: 'request parameters are wrong',
    is: ({ response }) =>
      (response.body['message'] as string | undefined)?.startsWith('CreateOptions') === true,
  },
  {
    why: 'the registry judges unknown fields',
    is: ({ request }) => request.query?.['fieldValidation'] === 'Strict',
  },
];

const FILES = [
  'validation/create.v1.Pod.json',
  'validation/create.apps_v1.ReplicaSet.json',
  'validation/update.Deployment.json',
  'validation/update.ReplicaSet.json',
  'defaults/v1.Pod.json',
  'defaults/apps_v1.Deployment.json',
  'defaults/apps_v1.ReplicaSet.json',
  'defaults/rich.pod-rich.json',
  'defaults/rich.pod-guaranteed.json',
  'defaults/rich.deploy-recreate.json',
  'defaults/rich.deploy-rolling-partial.json',
  'defaults/fieldValidation.json',
  'extra/quantities.json',
  'extra/times-and-numbers.json',
];

/** The object that a recorded PUT replaces: what the answer before it showed of the same name. */
function replacedBy(steps: readonly RecordedStep[], index: number): JsonObject | undefined {
  const { path } = steps[index]?.request ?? { path: '' };
  const { name } = targetOf(path);
  return steps
    .slice(0, index)
    .map(({ response }) => response.body)
    .findLast((body) => {
      const metadata = body['metadata'] as JsonObject | undefined;
      return metadata?.['name'] === name && body['kind'] !== 'Status' && body['spec'] !== undefined;
    });
}

function answerTo(kind: Kind, steps: readonly RecordedStep[], index: number): Answer | undefined {
  const { request } = steps[index] ?? {};
  if (request === undefined || typeof request.body !== 'object') return undefined;
  const { namespace } = targetOf(request.path);
  if (request.method === 'POST') return created(kind, request.body, namespace);
  if (request.method !== 'PUT') return undefined;
  const old = replacedBy(steps, index) ?? withoutChange(kind, request.body);
  return updated(kind, request.body, decoded(kind, old));
}

/** Updates that are refused were recorded without what they would have replaced. */
function withoutChange(kind: Kind, body: JsonObject): JsonObject {
  const copy = structuredClone(body);
  const label = kind.kind === 'Deployment' ? 'd' : 'rs';
  const spec = copy['spec'] as JsonObject & { template: { metadata: JsonObject } };
  spec['selector'] = { matchLabels: { app: label } };
  spec.template.metadata['labels'] = { app: label };
  return copy;
}

function expectSame(kind: Kind, answer: Answer, { response }: RecordedStep): void {
  const isRefusal = response.status >= 400 || answer.status >= 400;
  expect(isRefusal ? answer.body : ownPart(kind, answer.body)).to.deep.equal(
    isRefusal ? response.body : ownPart(kind, response.body),
  );
  expect(answer.status).to.equal(response.status);
  const header = (response.headers ?? {})['warning'] ?? '';
  const expected = [...header.matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)].map(
    ([, text = '']) => JSON.parse(`"${text}"`) as string,
  );
  expect(answer.warnings).to.deep.equal(
    expected.filter((text) => !text.startsWith('unknown field')),
  );
}

describe('writes of pods and workloads as recorded', () => {
  for (const file of FILES) {
    const steps = recordedSteps(file);
    for (const [index, step] of steps.entries()) {
      const kind = kindOf(step.request.path);
      if (kind === undefined || ELSEWHERE.some(({ is }) => is(step))) continue;
      if (!['POST', 'PUT'].includes(step.request.method)) continue;
      if (typeof step.request.body !== 'object') continue;
      it(`${file} ${index} ${step.note ?? ''}`, () => {
        const answer = answerTo(kind, steps, index);
        expect(answer).to.not.equal(undefined);
        if (answer !== undefined) expectSame(kind, answer, step);
      });
    }
  }
});
