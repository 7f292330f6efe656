// The smallest edge function: it is written for the hosted platform's Azion.AI.run and runs unchanged on ours. The
// platform compiles the module; the weights come from a URL, since there is no file system. Where the model does not fit, an
// endpoint answers, if the environment names one.
import wasm from 'ocelli/wasm/st-simd128/ocelli.wasm';
import { environmentOptions, install } from 'ocelli';

export function setUp(modelUrl) {
  install({ wasm, model: modelUrl, ...environmentOptions() });
}

export default {
  async fetch(request) {
    const { messages } = await request.json();
    return Azion.AI.run('qwen-qwen25-vl-3b-instruct-awq', { stream: true, messages });
  },
};
