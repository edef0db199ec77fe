import { writePrivateFile } from './private-file.js';

export interface KubeconfigContent {
  /** `https://host:port` */
  readonly server: string;
  /** PEM, all three. */
  readonly certificateAuthority: string;
  readonly certificate: string;
  readonly key: string;
  /** Of cluster and context: `mainstay`. */
  readonly clusterName: string;
  readonly userName: string;
  /** Answers come without gzip, which costs more than it saves on one machine. */
  readonly disableCompression?: boolean;
}

/** A kubeconfig with everything embedded (k8s.io/client-go/tools/clientcmd/api/v1), mode 0600. */
export async function writeKubeconfig(path: string, content: KubeconfigContent): Promise<void> {
  await writePrivateFile(path, kubeconfigText(content));
}

function kubeconfigText(content: KubeconfigContent): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  // A JSON string is a YAML string.
  const cluster = JSON.stringify(content.clusterName);
  const user = JSON.stringify(content.userName);
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    `- name: ${cluster}`,
    '  cluster:',
    `    server: ${JSON.stringify(content.server)}`,
    `    certificate-authority-data: ${base64(content.certificateAuthority)}`,
    ...(content.disableCompression === true ? ['    disable-compression: true'] : []),
    'users:',
    `- name: ${user}`,
    '  user:',
    `    client-certificate-data: ${base64(content.certificate)}`,
    `    client-key-data: ${base64(content.key)}`,
    'contexts:',
    `- name: ${cluster}`,
    '  context:',
    `    cluster: ${cluster}`,
    `    user: ${user}`,
    `current-context: ${cluster}`,
    '',
  ].join('\n');
}
