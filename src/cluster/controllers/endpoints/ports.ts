import type { Container, Pod, Service, ServicePort } from '../../../gen/kube-core-v1.js';

export interface TargetPort {
  /** That of the Service's port; may be empty. */
  readonly name: string;
  readonly protocol: string;
  /** Of the pod. */
  readonly port: number;
  readonly appProtocol: string | undefined;
}

/** The pod's port behind each port of the Service; names that the pod does not know are left out. */
export function targetPorts({ spec }: Service, pod: Pod): TargetPort[] {
  return (spec?.ports ?? []).flatMap((servicePort) => {
    const port = portOf(servicePort, pod);
    if (port === undefined) return [];
    const { name = '', protocol = 'TCP', appProtocol } = servicePort;
    return [{ name, protocol, port, appProtocol }];
  });
}

/** Pods with the same text can be in one slice, or one subset. */
export function portsText(ports: readonly TargetPort[]): string {
  return ports
    .map((port) => JSON.stringify([port.name, port.protocol, port.port, port.appProtocol ?? null]))
    .sort()
    .join();
}

function portOf({ targetPort, port, protocol = 'TCP' }: ServicePort, pod: Pod): number | undefined {
  if (targetPort === undefined || targetPort === 0 || targetPort === '') return port;
  if (typeof targetPort === 'number') return targetPort;
  const ports = running(pod).flatMap((container) => container.ports ?? []);
  return ports.find((own) => own.name === targetPort && (own.protocol ?? 'TCP') === protocol)
    ?.containerPort;
}

/** Init containers that restart run beside the others. */
function running({ spec }: Pod): readonly Container[] {
  const sidecars = (spec.initContainers ?? []).filter((one) => one.restartPolicy === 'Always');
  return [...spec.containers, ...sidecars];
}
