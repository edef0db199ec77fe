/** Of ports, in the order in which findings name them. */
export const PROTOCOLS: readonly string[] = ['SCTP', 'TCP', 'UDP'];
