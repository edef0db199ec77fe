import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { httpGet } from '../../../src/base/net/http-get.js';

describe('httpGet', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.close();
    server?.closeAllConnections();
  });

  function serve(listener: RequestListener): Promise<string> {
    const started = createServer(listener);
    server = started;
    return new Promise((resolve) => {
      started.listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(started.address() as AddressInfo).port}`),
      );
    });
  }

  async function failure(promise: Promise<unknown>): Promise<string> {
    try {
      await promise;
    } catch (error) {
      return String(error);
    }
    throw new Error('was answered');
  }

  it('gives status, headers and the text in parts', async () => {
    const url = await serve((request, response) => {
      response.writeHead(404, { 'X-Path': request.url });
      response.write('gréen ');
      response.end('light');
    });
    const { status, headers, body: text } = await httpGet(url, '/members', 5000);
    expect({ status, path: headers['x-path'], text }).deep.equal({
      status: 404,
      path: '/members',
      text: 'gréen light',
    });
  });

  it('fails when no process listens', async () => {
    const url = await serve(() => undefined);
    server?.close();
    expect(await failure(httpGet(url, '/', 5000))).contain('ECONNREFUSED');
  });

  it('fails when the answer does not come, and when it does not end', async () => {
    expect(await failure(httpGet(await serve(() => undefined), '/', 20))).contain('Abort');
    server?.closeAllConnections();
    server?.close();
    const url = await serve((_request, response) => void response.write('begin'));
    expect(await failure(httpGet(url, '/', 100))).contain('bort');
  });
});
