import type { Case } from './script.js';

/** Status, health, members, alarms and hashes. */
export const CLUSTER_CASES: readonly Case[] = [
  {
    rows: '69, 70',
    name: 'member list',
    steps: [
      { run: 'member list', anyOrder: true },
      { run: 'member list -w table', anyOrder: true },
      { run: 'member list -w json', show: sortedMembers },
      { run: 'member list -w fields', anyOrder: true },
    ],
  },
  {
    rows: '79, 80',
    name: 'endpoint health, also of an endpoint that is not there',
    steps: [
      { run: 'endpoint health --endpoints={eps}', anyOrder: true },
      { run: 'endpoint health --endpoints={eps} -w table', anyOrder: true },
      'endpoint health -w json',
      { run: 'endpoint health --cluster', anyOrder: true },
      'endpoint health --endpoints=127.0.0.1:1 --command-timeout=300ms --dial-timeout=300ms',
    ],
  },
  {
    rows: '81',
    name: 'endpoint status',
    steps: [
      { run: 'endpoint status --endpoints={eps}', show: withoutLeader },
      { run: 'endpoint status --endpoints={eps} -w table', show: withoutLeader },
      'endpoint status -w json',
      { run: 'endpoint status -w fields', show: withoutLeader },
    ],
  },
  {
    rows: '82',
    name: 'endpoint hashkv is the same on all members',
    steps: [
      'put a 1',
      'put b 2',
      'del a',
      'put b 3',
      // A linearizable read through each: then all have applied everything.
      'get b',
      'get b',
      'get b',
      { run: 'endpoint hashkv --endpoints={eps}', show: distinctHashes },
      { run: 'endpoint hashkv --endpoints={eps} --rev {r+3}', show: distinctHashes },
      'endpoint hashkv -w json',
    ],
  },
  {
    rows: '83',
    name: 'alarm list and disarm',
    steps: ['alarm list', 'alarm disarm', 'put a 1'],
  },
  {
    name: 'alarm list in JSON',
    steps: ['alarm list -w json', 'alarm list -w fields'],
    differs: {
      below: 5,
      reason: 'has a header, as etcd since 3.5',
      transcript: [
        '$ alarm list -w json\n{"header":{"cluster_id":"<masked>","member_id":"<masked>","raft_term":"<masked>","revision":"r+0"}}\n[0]',
        '$ alarm list -w fields\n"ClusterID" : <n>\n"MemberID" : <n>\n"Revision" : r+0\n"RaftTerm" : <n>\n[0]',
      ],
    },
  },
  { rows: '92', name: 'version', steps: ['version'] },
  {
    name: 'auth commands of a cluster without auth',
    steps: [{ run: 'get a --user root:x', show: (text) => text }],
  },
  {
    rows: '71 to 78, 84 to 89',
    name: 'commands of services that are not there yet',
    steps: [
      'member remove 1',
      'member add n9 --peer-urls=http://127.0.0.1:1',
      'member promote 1',
      'auth enable',
      'user list',
    ],
    differs: {
      reason: 'this release changes no members, does not defragment and has no users',
      transcript: [
        ...refused('member remove 1', 'MemberRemove', 'Cluster'),
        ...refused('member add n9 --peer-urls=http://127.0.0.1:1', 'MemberAdd', 'Cluster'),
        ...refused('member promote 1', 'MemberPromote', 'Cluster'),
        ...refused('auth enable', 'AuthEnable', 'Auth'),
        ...refused('user list', 'UserList', 'Auth'),
      ],
    },
  },
];

function refused(command: string, method: string, service: string): string[] {
  const text = `unknown method ${method} for service etcdserverpb.${service}`;
  return [`$ ${command}`, `! Error: rpc error: code = Unimplemented desc = ${text}`, '[1]'];
}

function sortedMembers(text: string): string {
  const list = JSON.parse(text) as { members: { name: string }[] };
  list.members.sort((a, b) => (a.name < b.name ? -1 : 1));
  return JSON.stringify(list);
}

/** The choice of the leader is chance. */
function withoutLeader(text: string): string {
  return text
    .replace(/^([^"\n]*?) (?:true|false)\b/gm, '$1 <leads>')
    .split('\n')
    .filter((line) => !/^"(Leader|Raft(Applied)?Index|DBSize)/.test(line))
    .join('\n');
}

function distinctHashes(text: string): string {
  const hashes = text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(', ').at(-1));
  return `${new Set(hashes).size} distinct`;
}
