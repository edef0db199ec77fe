/** Servers that the suites of clients run against: one member and three, and both transports that serve the handler table. */
export const SETUPS = [
  { name: 'one member', size: 1, flags: { 'rpc-transport': 'http2' } },
  { name: 'three members', size: 3, flags: { 'rpc-transport': 'http2' } },
  { name: 'one member on grpc-js', size: 1, flags: { 'rpc-transport': 'grpc-js' } },
] as const;
