import type { Event } from '../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../status.js';
import { fieldInvalid, fieldProblems, fieldRequired } from '../../validation/field-error.js';
import { qualifiedNameProblems } from '../../validation/names.js';
import { ageText, NAME_COLUMN, textColumn } from '../cells.js';
import { ALL_VERBS, type Cell, type Kind } from '../kind.js';

const MAX_FIELD_BYTES = 128;
const MAX_MESSAGE_BYTES = 1024;

export const event: Kind<Event> = {
  group: '',
  version: 'v1',
  kind: 'Event',
  resource: 'events',
  singular: 'event',
  shortNames: ['ev'],
  categories: [],
  isNamespaced: true,
  verbs: ALL_VERBS,
  message: 'core.v1.Event',
  storagePrefix: 'events/',
  ttlSeconds: 3600,
  selectableFields: {
    'involvedObject.kind': ({ involvedObject }) => involvedObject.kind ?? '',
    'involvedObject.namespace': ({ involvedObject }) => involvedObject.namespace ?? '',
    'involvedObject.name': ({ involvedObject }) => involvedObject.name ?? '',
    'involvedObject.uid': ({ involvedObject }) => involvedObject.uid ?? '',
    'involvedObject.apiVersion': ({ involvedObject }) => involvedObject.apiVersion ?? '',
    'involvedObject.resourceVersion': ({ involvedObject }) => involvedObject.resourceVersion ?? '',
    'involvedObject.fieldPath': ({ involvedObject }) => involvedObject.fieldPath ?? '',
    reason: ({ reason }) => reason ?? '',
    reportingComponent: ({ reportingComponent }) => reportingComponent ?? '',
    source: ({ source, reportingComponent }) => firstOf(source?.component, reportingComponent),
    type: ({ type }) => type ?? '',
  },
  setDefaults: (object) => {
    object.involvedObject = (object as Partial<Event>).involvedObject ?? {};
  },
  strategy: {
    nameRule: 'pathSegment',
    hasGeneration: false,
    allowsUnconditionalUpdate: true,
    allowsCreateOnUpdate: true,
    prepareCreate: () => undefined,
    prepareUpdate: () => undefined,
  },
  validate: (object) =>
    isMissing(object.eventTime) ? validateOldForm(object) : validateNewForm(object),
  validateUpdate: () => [],
  subresources: [],
  columns: [
    textColumn('Last Seen', 'Time since it happened last.'),
    textColumn('Type', 'Normal or Warning.'),
    textColumn('Reason', 'Why it was reported, in one word.'),
    textColumn('Object', 'What it is about.'),
    textColumn('Subobject', 'Which part of the object it is about.', 1),
    textColumn('Source', 'Component that reported it.', 1),
    textColumn('Message', 'What happened.'),
    textColumn('First Seen', 'Time since it happened first.', 1),
    textColumn('Count', 'How often it happened.', 1),
    { ...NAME_COLUMN, priority: 1 },
  ],
  cells,
};

function firstOf(...texts: (string | undefined)[]): string {
  return texts.find((text) => text !== undefined && text !== '') ?? '';
}

function isMissing(time: string | null | undefined): boolean {
  return time === undefined || time === null;
}

const OTHER_NAMESPACE = 'does not match event.namespace';

/** Events without eventTime, of clients of core/v1: only the namespaces have to agree. */
function validateOldForm({ metadata, involvedObject }: Event): FieldError[] {
  const namespace = involvedObject.namespace ?? '';
  const own = metadata.namespace ?? '';
  // An object without a namespace is reported in the namespace `default`.
  const isFine = namespace === own || (namespace === '' && own === 'default');
  return isFine ? [] : [fieldInvalid('involvedObject.namespace', namespace, OTHER_NAMESPACE)];
}

/** Events with eventTime, of clients of events.k8s.io/v1. */
function validateNewForm(object: Event): FieldError[] {
  const { metadata, involvedObject, reportingComponent = '' } = object;
  const own = metadata.namespace ?? '';
  const isLost =
    (involvedObject.namespace ?? '') === '' && own !== 'default' && own !== 'kube-system';
  return [
    ...(isLost ? [fieldInvalid('involvedObject.namespace', '', OTHER_NAMESPACE)] : []),
    ...(reportingComponent === '' ? [fieldRequired('reportingComponent')] : []),
    ...fieldProblems(
      'reportingComponent',
      reportingComponent,
      qualifiedNameProblems(reportingComponent),
    ),
    ...validateText('reportingInstance', object.reportingInstance),
    ...validateText('action', object.action),
    ...validateText('reason', object.reason),
    ...validateLength('message', object.message ?? '', MAX_MESSAGE_BYTES),
  ];
}

function validateText(field: string, text = ''): FieldError[] {
  return text === '' ? [fieldRequired(field)] : validateLength(field, text, MAX_FIELD_BYTES);
}

function validateLength(field: string, text: string, max: number): FieldError[] {
  if (Buffer.byteLength(text) <= max) return [];
  return [fieldInvalid(field, '', `can have at most ${max} characters`)];
}

function cells(object: Event, nowMs: number): Cell[] {
  const { involvedObject, source, series } = object;
  const age = (...times: (string | null | undefined)[]): string =>
    ageText(
      times.find((time) => !isMissing(time)),
      nowMs,
    );
  const firstSeen = age(object.firstTimestamp, object.eventTime);
  const lastSeen = age(object.lastTimestamp, object.firstTimestamp, object.eventTime);
  const kind = (involvedObject.kind ?? '').toLowerCase();
  const name = involvedObject.name ?? '';
  const component = firstOf(source?.component, object.reportingComponent);
  const instance = firstOf(source?.host, object.reportingInstance);
  // Events that happened once need no count.
  const count = object.count === undefined || object.count === 0 ? 1 : object.count;
  return [
    series === undefined ? lastSeen : age(series.lastObservedTime),
    object.type ?? '',
    object.reason ?? '',
    name === '' ? kind : `${kind}/${name}`,
    involvedObject.fieldPath ?? '',
    instance === '' ? component : `${component}, ${instance}`,
    (object.message ?? '').trim(),
    firstSeen,
    series === undefined ? count : (series.count ?? 0),
    object.metadata.name ?? '',
  ];
}
