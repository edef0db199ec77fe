/** Paths at which a container sees the volumes of its pod. */
import type { Volume, VolumeDevice, VolumeMount } from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  when,
} from '../../../validation/field-error.js';
import type { AnyContainer } from './containers.js';
import { validateDescendingPath, validateNoBacksteps } from './path-validation.js';

/** The valid volumes of a pod by name. */
export type Volumes = ReadonlyMap<string, Volume>;

const PROPAGATIONS = ['Bidirectional', 'HostToContainer', 'None'];

export function validateMounts(
  container: AnyContainer,
  volumes: Volumes,
  path: string,
): FieldError[] {
  const devices = container.volumeDevices ?? [];
  const seen = new Set<string>();
  return (container.volumeMounts ?? []).flatMap((mount, index) => {
    const { name = '', mountPath = '' } = mount;
    const at = `${path}[${index}]`;
    const isRepeated = seen.has(mountPath);
    seen.add(mountPath);
    const isOn = (text: string): (() => FieldError) => {
      return () => fieldInvalid(`${at}.mountPath`, mountPath, text);
    };
    return [
      ...when(name === '', () => fieldRequired(`${at}.name`)),
      ...when(!volumes.has(name), () => fieldNotFound(`${at}.name`, name)),
      ...when(mountPath === '', () => fieldRequired(`${at}.mountPath`)),
      ...when(isRepeated, isOn('must be unique')),
      ...when(
        devices.some((device) => device.name === name),
        () => fieldInvalid(`${at}.name`, name, 'must not already exist in volumeDevices'),
      ),
      ...when(
        devices.some((device) => device.devicePath === mountPath),
        isOn('must not already exist as a path in volumeDevices'),
      ),
      ...validateSubPaths(mount, at, path),
      ...validatePropagation(mount, container, path),
      ...validateRecursiveReadOnly(mount, `${path}.recursiveReadOnly`),
    ];
  });
}

/** Most findings name the list rather than the mount, as Kubernetes' do. */
function validateSubPaths(mount: VolumeMount, at: string, list: string): FieldError[] {
  const { subPath = '', subPathExpr = '' } = mount;
  const detail = 'subPathExpr and subPath are mutually exclusive';
  return [
    ...(subPath === '' ? [] : validateDescendingPath(subPath, `${list}.subPath`)),
    ...when(subPath !== '' && subPathExpr !== '', () =>
      fieldInvalid(`${at}.subPathExpr`, subPathExpr, detail),
    ),
    ...(subPathExpr === '' ? [] : validateDescendingPath(subPathExpr, `${list}.subPathExpr`)),
  ];
}

function validatePropagation(
  { mountPropagation: mode }: VolumeMount,
  container: AnyContainer,
  list: string,
): FieldError[] {
  if (mode === undefined) return [];
  const path = `${list}.mountPropagation`;
  const isPrivileged = container.securityContext?.privileged === true;
  const detail = 'Bidirectional mount propagation is available only to privileged containers';
  return [
    ...when(!PROPAGATIONS.includes(mode), () => fieldNotSupported(path, mode, PROPAGATIONS)),
    ...when(mode === 'Bidirectional' && !isPrivileged, () => fieldForbidden(path, detail)),
  ];
}

function validateRecursiveReadOnly(mount: VolumeMount, path: string): FieldError[] {
  const { recursiveReadOnly: mode, readOnly, mountPropagation = 'None' } = mount;
  if (mode === undefined || mode === 'Disabled') return [];
  if (mode !== 'Enabled' && mode !== 'IfPossible')
    return [fieldNotSupported(path, mode, ['Disabled', 'Enabled', 'IfPossible'])];
  const detail = 'may only be specified when mountPropagation is None or not specified';
  return [
    ...when(readOnly !== true, () =>
      fieldForbidden(path, 'may only be specified when readOnly is true'),
    ),
    ...when(mountPropagation !== 'None', () => fieldForbidden(path, detail)),
  ];
}

export function validateDevices(
  container: AnyContainer,
  volumes: Volumes,
  path: string,
): FieldError[] {
  const mounts = container.volumeMounts ?? [];
  const devices = container.volumeDevices ?? [];
  return devices.flatMap((device, index) => {
    const before = devices.slice(0, index);
    const at = `${path}[${index}]`;
    const { name = '', devicePath = '' } = device;
    return [
      ...validateDeviceName(device, before, volumes, `${at}.name`),
      ...validateDevicePath(device, before, `${at}.devicePath`),
      ...when(
        mounts.some((mount) => mount.name === name),
        () => fieldInvalid(`${at}.name`, name, 'must not already exist in volumeMounts'),
      ),
      ...when(
        mounts.some((mount) => mount.mountPath === devicePath),
        () =>
          fieldInvalid(
            `${at}.devicePath`,
            devicePath,
            'must not already exist as a path in volumeMounts',
          ),
      ),
    ];
  });
}

function validateDeviceName(
  { name = '' }: VolumeDevice,
  before: readonly VolumeDevice[],
  volumes: Volumes,
  path: string,
): FieldError[] {
  const volume = volumes.get(name);
  const isClaim = volume?.persistentVolumeClaim !== undefined || volume?.ephemeral !== undefined;
  const detail =
    'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode';
  const isRepeated = name !== '' && before.some((other) => other.name === name);
  return [
    ...when(name === '', () => fieldRequired(path)),
    ...when(isRepeated, () => fieldInvalid(path, name, 'must be unique')),
    ...when(volume !== undefined && !isClaim, () => fieldInvalid(path, name, detail)),
    ...when(volume === undefined, () => fieldNotFound(path, name)),
  ];
}

function validateDevicePath(
  { devicePath = '' }: VolumeDevice,
  before: readonly VolumeDevice[],
  path: string,
): FieldError[] {
  const isRepeated = before.some((other) => other.devicePath === devicePath);
  const hasBacksteps = validateNoBacksteps(devicePath, path).length > 0;
  return [
    ...when(devicePath === '', () => fieldRequired(path)),
    ...when(isRepeated, () => fieldInvalid(path, devicePath, 'must be unique')),
    ...when(hasBacksteps, () => fieldInvalid(path, devicePath, "can not contain backsteps ('..')")),
  ];
}
