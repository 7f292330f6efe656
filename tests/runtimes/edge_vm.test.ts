// Functions written for the hosted platform, unchanged, in @edge-runtime/vm, which its local development uses: the four
// styles of handler, and examples/edge-function.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  asModule,
  edge,
  type EdgeVM,
  placeFunctions,
  platform,
  send,
  withStyle,
} from './edge_vm.ts';
import * as vms from './edge_vm.ts';
import { answersOver, weights } from './http.ts';
import { expectSame, titled, type Told } from './runtime.ts';

let model: { origin: string; close(): void };
beforeAll(async () => {
  placeFunctions();
  model = await weights();
});
afterAll(() => model.close());

const edgeVm = (name: string, code: string, globals = {}): Promise<EdgeVM> =>
  vms.edgeVm(name, code, { MODEL: model.origin, ...globals });

// vm 3 has primitives 4, as the platform's own local development does.
describe.each(['edge-vm', 'edge-vm 3'])(
  'Azion: `Azion.AI.run` inside @edge-runtime/vm and primitives 4.0.5: %s',
  (name) => {
    it('compiles nothing in there', async () => {
      const vm = await edgeVm(name, '');
      expect(() => vm.evaluate('eval("1")')).toThrow(/Code generation from strings disallowed/);
      const bytes = 'new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])';
      expect(() => vm.evaluate(`new WebAssembly.Module(${bytes})`)).toThrow(
        /disallowed by embedder/,
      );
      expect(vm.evaluate('typeof process + typeof require + typeof Worker')).toBe(
        'undefinedundefinedundefined',
      );
    });

    describe('handlers that know of nothing but Azion.AI.run', () => {
      it.each([
        ['service worker', withStyle('service_worker')],
        ['ES module', platform + asModule(join(edge, 'es_module.js'))],
        ['arguments', withStyle('arguments')],
      ])('%s', async (how, code) => {
        const ask = async (): Promise<Told> => {
          const vm = await edgeVm(name, code, {
            ARGS: { model: 'qwen-qwen25-vl-3b-instruct-awq' },
          });
          return { answers: await answersOver(send(vm)), variant: 'st-simd128', threads: 1 };
        };
        await expectSame({ runtime: titled(name, 'edge-runtime/vm'), how }, ask);
      });

      it('firewall', async () => {
        const vm = await edgeVm(name, withStyle('firewall'));
        const status = async (content: string): Promise<number> => {
          const messages = [{ role: 'user', content }];
          return (await send(vm)(JSON.stringify({ messages }))).status;
        };
        expect(await status('What is the capital of France?')).toBe(204);
        expect(await status('What is the capital of Japan?')).toBe(403);
      });

      it('get an error with name, message and status', async () => {
        const vm = await edgeVm(name, withStyle('arguments'), {
          ARGS: { model: 'nobody/nothing' },
        });
        const response = await send(vm)('{"messages": [{"role": "user", "content": "Hi"}]}');
        expect([response.status, await response.json()]).toEqual([
          404,
          { name: 'NotFoundError', message: expect.stringMatching(/nobody\/nothing/) as string },
        ]);
      });
    });

    it('examples/edge-function answers', async () => {
      const file = join(edge, 'function.js');
      const vm = await edgeVm(name, asModule(file, 'file.setUp(globalThis.MODEL);'));
      const messages = [{ role: 'user', content: 'What is the capital of France?' }];
      const response = await send(vm)(JSON.stringify({ messages }));
      expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      expect(await response.text()).toMatch(/"content":".*data: \[DONE\]\n\n$/s);
    });
  },
);
