import { expect } from 'chai';
import * as net from 'node:net';
import { InvariantViolation } from '../../../src/base/invariant.js';
import { FramedSocket } from '../../../src/server/peer/framed-socket.js';
import { FrameReader, FrameType, makeFrame } from '../../../src/server/peer/frames.js';
import { ManualEnv } from '../member/manual-env.js';

/** A framed socket whose bytes come from the test, and the events at its owner. */
function socketWith(onFrame: () => void): { socket: net.Socket; malformed: string[] } {
  const socket = new net.Socket();
  const malformed: string[] = [];
  new FramedSocket(new ManualEnv(), socket, new FrameReader(), {
    onFrame,
    onReceived: () => undefined,
    onSent: () => undefined,
    onMalformed: (error) => malformed.push(error.message),
    onClosed: () => undefined,
  }).start();
  return { socket, malformed };
}

describe('FramedSocket', () => {
  const ping = makeFrame(FrameType.ping, new Uint8Array(0));

  it('closes the connection when a frame is refused', () => {
    const { socket, malformed } = socketWith(() => {
      throw new Error('no such thing');
    });
    socket.emit('data', ping);
    expect(malformed).to.deep.equal(['no such thing']);
    expect(socket.destroyed).to.equal(true);
  });

  it('does not take a broken promise of this program for malformed bytes', () => {
    const { socket, malformed } = socketWith(() => {
      throw new InvariantViolation('match < next');
    });
    expect(() => socket.emit('data', ping)).to.throw(InvariantViolation, 'match < next');
    expect(malformed).to.deep.equal([]);
    socket.destroy();
  });
});
