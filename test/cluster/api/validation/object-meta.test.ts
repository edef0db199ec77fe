/** Metadata of objects; what recordings show of it is tested with config maps. */
import { expect } from 'chai';
import type { ObjectMeta } from '../../../../src/gen/kube-meta-v1.js';
import type { FieldError } from '../../../../src/cluster/api/status.js';
import {
  validateManager,
  validateObjectMeta,
  validateObjectMetaUpdate,
} from '../../../../src/cluster/api/validation/object-meta.js';
import { recordedSteps } from '../kinds/recorded-writes.js';

const META: ObjectMeta = { name: 'a', namespace: 'default', uid: 'u', resourceVersion: '1' };

function texts(errors: readonly FieldError[]): string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`);
}

function changed(next: ObjectMeta, old: ObjectMeta = {}): string[] {
  return texts(validateObjectMetaUpdate({ ...META, ...next }, { ...META, ...old }));
}

describe('metadata of a new object', () => {
  const refused = (meta: ObjectMeta, rule: 'label' | 'pathSegment' = 'label'): string[] =>
    texts(validateObjectMeta({ ...META, ...meta }, rule, true));

  it('namespaces where they belong', () => {
    expect(texts(validateObjectMeta({ name: 'a' }, 'label', true))).to.deep.equal([
      'metadata.namespace: Required value',
    ]);
    expect(texts(validateObjectMeta(META, 'label', false))).to.deep.equal([
      'metadata.namespace: Forbidden: not allowed on this type',
    ]);
  });

  it('names by the rule of the kind; a prefix may end with a dash', () => {
    expect(refused({ name: 'a:b' }, 'pathSegment')).to.deep.equal([]);
    expect(refused({ generateName: 'a-' })).to.deep.equal([]);
    expect(refused({ generateName: '-' })).to.have.lengthOf(1);
    expect(refused({ generateName: 'a/' }, 'pathSegment')).to.deep.equal([
      'metadata.generateName: Invalid value: "a/": may not contain \'/\'',
    ]);
  });

  it('owners and finalizers', () => {
    expect(
      refused({
        ownerReferences: [{ apiVersion: 'v1', kind: 'Event', name: 'e', uid: 'u' }],
        finalizers: ['orphan', 'foregroundDeletion'],
      }),
    ).to.deep.equal([
      'metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"e","uid":"u"}: /v1, Kind=Event is disallowed from being an owner',
      'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set',
    ]);
  });

  it('managed fields', () => {
    const entry = { manager: 'm'.repeat(129), operation: 'Do', fieldsType: 'X', subresource: 's' };
    expect(refused({ managedFields: [entry] })).to.deep.equal([
      'metadata.managedFields[0].operation: Invalid value: "Do": must be `Apply` or `Update`',
      'metadata.managedFields[0].fieldsType: Invalid value: "X": must be `FieldsV1`',
      'metadata.managedFields[0].manager: Too long: may not be more than 128 bytes',
    ]);
  });

  it('a manager is printable', () => {
    expect(texts(validateManager('\u00e9\u0001', 'fieldManager'))).to.deep.equal([
      'fieldManager: Invalid value: "\u00e9\\x01": invalid character U+0001 (at position 2)',
    ]);
  });
});

describe('metadata of a changed object', () => {
  it('says twice what is wrong, as the real server does', () => {
    const steps = recordedSteps('patch/merge-patch.json');
    const { response } = steps.find((step) => step.response.status === 422) ?? {};
    const { causes } = response?.body['details'] as unknown as { causes: FieldError[] };
    expect(changed({ uid: 'x' })).to.deep.equal(texts(causes));
  });

  it('refuses a finalizer more once the object goes', () => {
    const deletionTimestamp = '2026-01-01T00:00:00Z';
    const message =
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x.io/b", "x.io/c"}';
    expect(
      changed(
        { deletionTimestamp, finalizers: ['x.io/c', 'x.io/a', 'x.io/b'] },
        { deletionTimestamp, finalizers: ['x.io/a'] },
      ),
    ).to.deep.equal([message, message]);
    expect(changed({ finalizers: ['x.io/b'] })).to.deep.equal([]);
  });

  it('needs a revision, and no generation before the last', () => {
    const found = changed({ resourceVersion: '', generation: 1 }, { generation: 2 });
    expect(new Set(found)).to.deep.equal(
      new Set([
        'metadata.resourceVersion: Invalid value: "": must be specified for an update',
        'metadata.generation: Invalid value: 1: must not be decremented',
      ]),
    );
  });
});
