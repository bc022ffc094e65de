/** Started by `node-red.ts`: <file of node-red> <folder for its data>. Prints its address when the flow is ready. */
import { writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

interface NodeRed {
  init(server: unknown, settings: unknown): void;
  start(): Promise<void>;
  httpNode: RequestListener;
  events: { once(name: string, listener: () => void): void };
}

const [file = '', folder = ''] = process.argv.slice(2);
const RED = createRequire(file)(file) as NodeRed;
const set = (to: string, from: string) => ({ t: 'set', p: to, pt: 'msg', to: from, tot: 'msg' });
writeFileSync(
  join(folder, 'flows.json'),
  JSON.stringify([
    { id: 'tab', type: 'tab', label: 'bench' },
    { id: 'in', z: 'tab', type: 'http in', url: '/run', method: 'post', wires: [['copy']] },
    {
      id: 'copy',
      z: 'tab',
      type: 'change',
      rules: [set('copy.text', 'payload.text'), set('copy.n', 'payload.n'), set('payload', 'copy')],
      wires: [['out']],
    },
    { id: 'out', z: 'tab', type: 'http response', wires: [] },
  ]),
);
const server = createServer();
RED.init(server, {
  httpAdminRoot: false,
  httpNodeRoot: '/',
  userDir: folder,
  flowFile: 'flows.json',
  credentialSecret: false,
  telemetry: { enabled: false },
  logging: { console: { level: 'off' } },
});
server.on('request', RED.httpNode);
const started = new Promise<void>((resolve) => RED.events.once('flows:started', resolve));
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
await RED.start();
await started;
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
