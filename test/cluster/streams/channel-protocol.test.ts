import { expect } from 'chai';
import {
  Channel,
  CHANNEL_PROTOCOLS,
  channelMessage,
  chooseProtocol,
  closeMessage,
  exitCodeOf,
  exitStatus,
  failureStatus,
  offeredProtocols,
  parseChannelMessage,
  parseResize,
  resizeMessage,
  statusMessage,
} from '../../../src/cluster/streams/channel-protocol.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('cluster/streams/channel-protocol', () => {
  it('chooses the first protocol of the client that both speak', () => {
    const choose = (header: string | undefined): string | undefined =>
      chooseProtocol(offeredProtocols(header), CHANNEL_PROTOCOLS);
    expect(choose('v5.channel.k8s.io')).to.equal('v5.channel.k8s.io');
    expect(choose('v9.channel.k8s.io, v4.channel.k8s.io')).to.equal('v4.channel.k8s.io');
    expect(choose('base64.channel.k8s.io')).to.equal(undefined);
    expect(choose(undefined)).to.equal(undefined);
  });

  it('reads messages back as they were written', () => {
    expect(parseChannelMessage(channelMessage(Channel.stdout, bytes('hi')))).to.deep.equal({
      type: 'data',
      channel: 1,
      data: bytes('hi'),
    });
    expect(parseChannelMessage(closeMessage(Channel.stdin))).to.deep.equal({
      type: 'close',
      channel: 0,
    });
    expect(Buffer.from(closeMessage(0)).toString('hex')).to.equal('ff00');
    expect(parseChannelMessage(new Uint8Array())).to.equal(undefined);
    expect(parseChannelMessage(Uint8Array.of(255))).to.equal(undefined);
  });

  it('reads sizes of terminals and nothing else as one', () => {
    const message = resizeMessage({ width: 80, height: 24 });
    expect(Buffer.from(message.subarray(1)).toString()).to.equal('{"Width":80,"Height":24}\n');
    expect(parseResize(message.subarray(1))).to.deep.equal({ width: 80, height: 24 });
    for (const text of ['', 'null', '{}', '{"Width":"80","Height":24}', '{"Width":0,"Height":1}'])
      expect(parseResize(bytes(text)), text).to.equal(undefined);
    expect(parseResize(bytes('{"Width":65536,"Height":24}'))).to.equal(undefined);
  });

  it('tells an exit code by the status that kubectl reads', () => {
    expect(Buffer.from(statusMessage(exitStatus(0))).toString()).to.equal(
      '\u0003{"metadata":{},"status":"Success"}',
    );
    expect(exitStatus(3)).to.deep.equal({
      metadata: {},
      status: 'Failure',
      message: 'command terminated with non-zero exit code: exit status 3',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '3' }] },
    });
    expect([0, 3, 137].map((code) => exitCodeOf(exitStatus(code)))).to.deep.equal([0, 3, 137]);
    expect(exitCodeOf(failureStatus('no such container'))).to.equal(undefined);
  });
});
