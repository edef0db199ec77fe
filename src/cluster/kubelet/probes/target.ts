import type { Container } from '../../../gen/kube-core-v1.js';

/** A port by number or by the name that the container gives it. Throws: Error for an unknown name. */
export function namedPort(container: Container, port: number | string): number {
  if (typeof port === 'number') return port;
  const named = (container.ports ?? []).find(({ name }) => name === port);
  if (named !== undefined) return named.containerPort;
  const number = Number(port);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  throw new Error(`couldn't find port: ${port}`);
}
