// Owns the 3B model's shape as the llama.cpp family reads it: the text model as Q4_0 in parts, a cut of it with one layer,
// and the vision tower as an f16 projector file, all of random weights. Called by the peers. Surprise: the types are those
// that llama.cpp's own quantiser chooses for Q4_0 (a tied head becomes q6_k, the tower stays f16), not the smallest.
import { join } from 'node:path';
import { component, root } from '../../../tools/setup/io.mjs';
import { key, rawKeys, tensorBytes, writeGguf } from './gguf.mjs';

/** Qwen2.5-VL-3B: the numbers that models/MODEL.md has. */
export const text = { layers: 36, hidden: 2048, ffn: 11008, heads: 16, kvHeads: 2, vocab: 151936 };
export const vision = { layers: 32, hidden: 1280, ffn: 3420, heads: 16, patch: 14, window: 8 };

/** wllama takes files of up to 2 GB and advises 512 MB. */
const partBytes = 512e6;

const weight = (name, type, [rowLength, rows]) => {
  // Keeps the size of what goes through about as it was.
  return {
    name: `${name}.weight`,
    type,
    shape: [rowLength, rows],
    scale: 1 / Math.sqrt(rowLength),
  };
};
const norm = (name, size) => ({
  ...{ name: `${name}.weight`, type: 'f32', shape: [size], scale: 0.1, mean: 1 },
});
const bias = (name, size) => ({ name: `${name}.bias`, type: 'f32', shape: [size], scale: 0.1 });

function textTensors(layers) {
  const { hidden, ffn, heads, kvHeads, vocab } = text;
  const kv = (hidden / heads) * kvHeads;
  const layer = (i) => {
    const of = (name) => `blk.${i}.${name}`;
    return [
      norm(of('attn_norm'), hidden),
      weight(of('attn_q'), 'q4_0', [hidden, hidden]),
      bias(of('attn_q'), hidden),
      weight(of('attn_k'), 'q4_0', [hidden, kv]),
      bias(of('attn_k'), kv),
      weight(of('attn_v'), 'q4_0', [hidden, kv]),
      bias(of('attn_v'), kv),
      weight(of('attn_output'), 'q4_0', [hidden, hidden]),
      norm(of('ffn_norm'), hidden),
      weight(of('ffn_gate'), 'q4_0', [hidden, ffn]),
      weight(of('ffn_up'), 'q4_0', [hidden, ffn]),
      weight(of('ffn_down'), 'q4_0', [ffn, hidden]),
    ];
  };
  const embedding = weight('token_embd', 'q6_k', [hidden, vocab]);
  const all = Array.from({ length: layers }, (_, i) => layer(i)).flat();
  return [embedding, ...all, norm('output_norm', hidden)];
}

function textKeys(layers, vocabulary) {
  const { hidden, ffn, heads, kvHeads } = text;
  const own = {
    'general.architecture': key('text', 'qwen2vl'),
    'general.name': key('text', `random-3b-${layers}`),
    'general.file_type': key('u32', 2),
    'qwen2vl.block_count': key('u32', layers),
    'qwen2vl.context_length': key('u32', 32768),
    'qwen2vl.embedding_length': key('u32', hidden),
    'qwen2vl.feed_forward_length': key('u32', ffn),
    'qwen2vl.attention.head_count': key('u32', heads),
    'qwen2vl.attention.head_count_kv': key('u32', kvHeads),
    'qwen2vl.attention.layer_norm_rms_epsilon': key('f32', 1e-6),
    'qwen2vl.rope.freq_base': key('f32', 1e6),
    'qwen2vl.rope.dimension_sections': key('i32', [16, 24, 24, 0]),
  };
  const words = [...rawKeys(vocabulary)].filter(([name]) => name.startsWith('tokenizer.'));
  return new Map([...Object.entries(own), ...words]);
}

/** Tensors in runs of at most `limit` bytes. */
export function partsOf(tensors, limit) {
  const parts = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const size = tensorBytes(tensor);
    if (bytes + size > limit && parts.at(-1).length > 0) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1).push(tensor);
    bytes += size;
  }
  return parts;
}

const folder = join(root, 'build/bench/peers');

/** The files of a text model with so many layers; the first one names the model to llama.cpp. */
export async function textModel(layers, vocabulary) {
  const tensors = textTensors(layers);
  const parts = partsOf(tensors, partBytes);
  const number = (value) => String(value).padStart(5, '0');
  const names = parts.map((_, i) => `text-${number(i + 1)}-of-${number(parts.length)}.gguf`);
  const shape = { tensors, text, layout: 1 };
  const place = await component(
    folder,
    `text-${layers}`,
    shape,
    `text model, ${layers} layers`,
    (made) =>
      parts.forEach((part, i) => {
        const split = [
          ['split.no', key('u16', i)],
          ['split.count', key('u16', parts.length)],
          ['split.tensors.count', key('i32', tensors.length)],
        ];
        const keys = i === 0 ? textKeys(layers, vocabulary) : [];
        writeGguf(join(made, names[i]), new Map([...keys, ...split]), part);
      }),
  );
  return names.map((name) => join(place, name));
}

function visionTensors() {
  const { layers, hidden, ffn, patch } = vision;
  const linear = (name, shape) => [weight(name, 'f16', shape), bias(name, shape[1])];
  const layer = (i) => {
    const of = (name) => `v.blk.${i}.${name}`;
    return [
      norm(of('ln1'), hidden),
      norm(of('ln2'), hidden),
      ...['attn_q', 'attn_k', 'attn_v', 'attn_out'].flatMap((name) =>
        linear(of(name), [hidden, hidden]),
      ),
      ...linear(of('ffn_gate'), [hidden, ffn]),
      ...linear(of('ffn_up'), [hidden, ffn]),
      ...linear(of('ffn_down'), [ffn, hidden]),
    ];
  };
  // One convolution for each of the two frames that a patch spans.
  const patches = ['weight', 'weight.1'].map((name) => ({
    ...{ name: `v.patch_embd.${name}`, type: 'f16', shape: [patch, patch, 3, hidden], scale: 0.03 },
  }));
  const merged = 4 * hidden;
  return [
    ...patches,
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    norm('v.post_ln', hidden),
    ...linear('mm.0', [merged, merged]),
    ...linear('mm.2', [merged, text.hidden]),
  ];
}

/** The projector file: the vision tower. */
export async function visionModel() {
  const { layers, hidden, ffn, heads, patch, window } = vision;
  const keys = {
    'general.architecture': key('text', 'clip'),
    'general.type': key('text', 'mmproj'),
    'general.file_type': key('u32', 1),
    'clip.has_vision_encoder': key('bool', true),
    'clip.projector_type': key('text', 'qwen2.5vl_merger'),
    'clip.use_silu': key('bool', true),
    'clip.vision.image_size': key('u32', 560),
    'clip.vision.patch_size': key('u32', patch),
    'clip.vision.embedding_length': key('u32', hidden),
    'clip.vision.feed_forward_length': key('u32', ffn),
    'clip.vision.projection_dim': key('u32', text.hidden),
    'clip.vision.block_count': key('u32', layers),
    'clip.vision.attention.head_count': key('u32', heads),
    'clip.vision.attention.layer_norm_epsilon': key('f32', 1e-6),
    'clip.vision.image_mean': key('f32', [0.48145466, 0.4578275, 0.40821073]),
    'clip.vision.image_std': key('f32', [0.26862954, 0.26130258, 0.27577711]),
    'clip.vision.n_wa_pattern': key('u32', window),
  };
  const tensors = visionTensors();
  const made = { tensors, vision, layout: 1 };
  const place = await component(folder, 'vision', made, 'vision tower', (temporary) =>
    writeGguf(join(temporary, 'vision.gguf'), new Map(Object.entries(keys)), tensors),
  );
  return join(place, 'vision.gguf');
}
