/** Images for containers: present, pulled, or a reason why not. */
import type { Logger } from '../../../base/observe/logger.js';
import type { Container, Pod } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../../env.js';
import type { ContainerRuntime, Image } from '../../runtime/runtime.js';
import { RuntimeError } from '../../runtime/runtime.js';
import { BackOff } from './back-off.js';
import { formatDurationMs } from '../../../base/go-duration.js';
import { withDefaultTag } from './image-reference.js';
import { uidOf } from './pod-spec.js';
import type { Recorder } from './recorder.js';
import { containerReference } from './recorder.js';
import { StartError, messageOf } from './start-error.js';

export interface ImagesOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly runtime: ContainerRuntime;
  readonly recorder: Recorder;
}

export class Images {
  readonly #options: ImagesOptions;
  readonly #backOff: BackOff;
  /** Reason for which the last pull failed, by the key of its back-off. */
  readonly #failures = new Map<string, string>();
  readonly #pulls = new Map<string, Promise<string>>();

  constructor(options: ImagesOptions) {
    this.#options = options;
    this.#backOff = new BackOff(options.env);
  }

  /** The image of a container, by its pull policy. Rejects with StartError. */
  async ensure(pod: Pod, container: Container): Promise<Image> {
    const wanted = container.image ?? '';
    const reference = this.#parse(pod, container, wanted);
    const local = await this.#inspect(pod, container, reference);
    const policy = container.imagePullPolicy ?? 'IfNotPresent';
    if (local !== undefined && policy !== 'Always') return this.#present(pod, container, local);
    if (policy === 'Never') {
      const message = `Container image "${wanted}" is not present with pull policy of Never`;
      this.#event(pod, container, 'Warning', 'ErrImageNeverPull', message);
      throw new StartError('ErrImageNeverPull', message);
    }
    return this.#pull(pod, container, reference, local);
  }

  /** Milliseconds until a pull for this container may be tried again. */
  waitMs(pod: Pod, container: Container): number {
    const key = keyOf(pod, container);
    return this.#backOff.remainingMs(key, this.#backOff.lastMs(key));
  }

  /** Forgets what failed for a pod that is gone. */
  forget(uid: string): void {
    this.#backOff.forget(`${uid}_`);
    for (const key of this.#failures.keys()) {
      if (key.startsWith(`${uid}_`)) this.#failures.delete(key);
    }
  }

  #parse(pod: Pod, container: Container, wanted: string): string {
    try {
      return withDefaultTag(wanted);
    } catch (error) {
      const message = `Failed to apply default image tag "${wanted}": ${messageOf(error)}`;
      this.#event(pod, container, 'Warning', 'InspectFailed', message);
      throw new StartError('InvalidImageName', message);
    }
  }

  async #inspect(pod: Pod, container: Container, reference: string): Promise<Image | undefined> {
    try {
      return await this.#options.runtime.imageStatus(reference);
    } catch (error) {
      const message = `Failed to inspect image "${container.image ?? ''}": ${messageOf(error)}`;
      this.#event(pod, container, 'Warning', 'InspectFailed', message);
      throw new StartError('ImageInspectError', message);
    }
  }

  #present(pod: Pod, container: Container, image: Image): Image {
    const message = `Container image "${container.image ?? ''}" already present on machine and can be accessed by the pod`;
    this.#event(pod, container, 'Normal', 'Pulled', message);
    return image;
  }

  /**
   * Policy Always asks the registry for the newest. A cluster without a registry at hand would start
   * nothing that way, so an image that is here serves when no pull succeeds.
   */
  async #pull(
    pod: Pod,
    container: Container,
    reference: string,
    local: Image | undefined,
  ): Promise<Image> {
    const key = keyOf(pod, container);
    const wanted = container.image ?? '';
    if (local === undefined && this.waitMs(pod, container) > 0) this.#refuse(pod, container, key);
    const { env } = this.#options;
    const startMs = env.monoMs();
    this.#event(pod, container, 'Normal', 'Pulling', `Pulling image "${wanted}"`);
    try {
      const id = await this.#shared(reference);
      const image = await this.#options.runtime.imageStatus(id);
      if (image === undefined) throw new RuntimeError('ImageNotFound', `image ${id} is gone`);
      this.#failures.delete(key);
      const took = formatDurationMs(Math.round(env.monoMs() - startMs));
      const message = `Successfully pulled image "${wanted}" in ${took} (${took} including waiting). Image size: ${image.sizeBytes} bytes.`;
      this.#event(pod, container, 'Normal', 'Pulled', message);
      return image;
    } catch (error) {
      if (local !== undefined) {
        this.#options.log.warn('image not pulled; the one that is here serves', { wanted, error });
        return this.#present(pod, container, local);
      }
      return this.#failed(pod, container, key, error);
    }
  }

  #refuse(pod: Pod, container: Container, key: string): never {
    const text = `Back-off pulling image "${container.image ?? ''}"`;
    this.#event(pod, container, 'Normal', 'BackOff', text);
    const cause = this.#failures.get(key);
    const message = cause === undefined ? text : `${text}: ${cause}`;
    throw new StartError('ImagePullBackOff', message);
  }

  #failed(pod: Pod, container: Container, key: string, error: unknown): never {
    const message = messageOf(error);
    const text = `Failed to pull image "${container.image ?? ''}": ${message}`;
    this.#event(pod, container, 'Warning', 'Failed', text);
    this.#backOff.next(key, this.#backOff.lastMs(key));
    const isBadName = error instanceof RuntimeError && error.reason === 'InvalidImageName';
    const reason = isBadName ? 'InvalidImageName' : 'ErrImagePull';
    this.#failures.set(key, `${reason}: ${message}`);
    throw new StartError(reason, message);
  }

  /** One pull serves all containers that wait for the same image. */
  #shared(reference: string): Promise<string> {
    let pull = this.#pulls.get(reference);
    if (pull === undefined) {
      pull = this.#options.runtime.pullImage(reference);
      this.#pulls.set(reference, pull);
      const end = (): boolean => this.#pulls.delete(reference);
      pull.then(end, end);
    }
    return pull;
  }

  #event(
    pod: Pod,
    container: Container,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
  ): void {
    this.#options.recorder.event(containerReference(pod, container.name), type, reason, message);
  }
}

function keyOf(pod: Pod, container: Container): string {
  return `${uidOf(pod)}_${container.image ?? ''}`;
}
