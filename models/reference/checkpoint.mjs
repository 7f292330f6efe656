// Writes small random-weight Hugging Face checkpoints: the same bytes everywhere, so none is committed.
//   node models/reference/checkpoint.mjs OUT [NAME...] [--seed N] [--profiles FILE]
// OUT/NAME/ gets config.json, tokenizer files, generation and preprocessor config, safetensors and adapters. Profiles are in
// profiles.json; --seed replaces their seeds (fresh models for comparisons the goldens do not hold).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { writeAdapters } from './adapters.mjs'

const here = dirname(fileURLToPath(import.meta.url))

// --- random numbers: integers only, so that every platform agrees to the bit
export class Random {
  constructor(seed) { this.state = BigInt(seed) * 0x9e3779b97f4a7c15n }
  uint32() {
    this.state = (this.state + 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn
    let z = this.state
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & 0xffffffffffffffffn
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & 0xffffffffffffffffn
    return Number((z ^ (z >> 31n)) >> 32n)
  }
}
// A cheap generator seeded by Random fills the tensors: xorshift32, four uniforms make a nearly normal value.
export function normals(random, count, std) {
  let state = random.uint32() | 1
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 4294967296
  }
  const out = new Float32Array(count)
  const scale = std * Math.sqrt(3)
  for (let i = 0; i < count; i++) out[i] = (next() + next() + next() + next() - 2) * scale
  return out
}

// --- number formats
const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)
const toBf16 = (x) => { f32[0] = x; const b = u32[0]; return ((b + 0x7fff + ((b >>> 16) & 1)) >>> 16) & 0xffff }
function toF16(x) {
  f32[0] = x
  const bits = u32[0], sign = (bits >>> 16) & 0x8000, rest = bits & 0x7fffffff
  if (rest >= 0x47800000) return sign | 0x7c00
  if (rest < 0x38800000) { f32[0] = Math.abs(x) + 0.5; return sign | (u32[0] - 0x3f000000) }
  return sign | ((rest + 0xfff + ((rest >>> 13) & 1) - 0x38000000) >>> 13)
}
function fromF16(h) {
  const magnitude = ((h & 0x7fff) << 13) >>> 0
  u32[0] = magnitude
  const value = f32[0] * 2 ** 112
  return h & 0x8000 ? -value : value
}
export function encode(values, dtype) {
  if (dtype === 'F32') return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
  const convert = dtype === 'BF16' ? toBf16 : toF16
  return Buffer.from(Uint16Array.from(values, convert).buffer)
}

// --- AWQ "gemm": 4 bits, groups of 128 along the input, eight columns a word in the order 0 2 4 6 1 3 5 7
function awq(weight, n, k) {
  const groups = k / 128
  const q = new Int32Array((k * n) / 8), z = new Int32Array((groups * n) / 8), s = new Uint16Array(groups * n)
  const place = [0, 4, 1, 5, 2, 6, 3, 7]
  for (let row = 0; row < n; row++) {
    const word = row >> 3, shift = 4 * place[row & 7]
    for (let group = 0; group < groups; group++) {
      const at = row * k + group * 128
      let low = 0, high = 0
      for (let i = 0; i < 128; i++) { low = Math.min(low, weight[at + i]); high = Math.max(high, weight[at + i]) }
      const half = toF16(Math.max(high - low, 1e-5) / 15)
      const scale = fromF16(half)
      const zero = Math.min(15, Math.max(0, Math.round(-low / scale)))
      s[group * n + row] = half
      z[(group * n) / 8 + word] |= zero << shift
      for (let i = 0; i < 128; i++) {
        const code = Math.min(15, Math.max(0, Math.round(weight[at + i] / scale) + zero))
        q[((group * 128 + i) * n) / 8 + word] |= code << shift
      }
    }
  }
  const bytes = (array) => Buffer.from(array.buffer)
  return { qweight: ['I32', [k, n / 8], bytes(q)], qzeros: ['I32', [groups, n / 8], bytes(z)], scales: ['F16', [groups, n], bytes(s)] }
}

function tensors(profile, random) {
  const { text: t, vision: v } = profile
  const list = new Map()
  const matrix = (name, n, k, std, shape = [n, k]) => list.set(name, [profile.dtype, shape, encode(normals(random, n * k, std), profile.dtype)])
  const vector = (name, n, std, mean = 0) => list.set(name, [profile.dtype, [n], encode(normals(random, n, std).map((x) => x + mean), profile.dtype)])
  const linear = (name, n, k, gain, bias) => {
    const std = gain / Math.sqrt(k)
    if (profile.awq && name.startsWith('model.')) {
      const weight = normals(random, n * k, std)
      for (const [suffix, tensor] of Object.entries(awq(weight, n, k))) list.set(`${name}.${suffix}`, tensor)
    } else {
      matrix(`${name}.weight`, n, k, std)
    }
    if (bias) vector(`${name}.bias`, n, 0.1)
  }
  matrix('visual.patch_embed.proj.weight', v.hidden, 1176, 1 / 28, [v.hidden, 3, 2, 14, 14])
  for (let i = 0; i < v.depth; i++) {
    const at = `visual.blocks.${i}.`
    vector(`${at}norm1.weight`, v.hidden, 0.2, 1)
    linear(`${at}attn.qkv`, 3 * v.hidden, v.hidden, 1, true)
    linear(`${at}attn.proj`, v.hidden, v.hidden, 0.7, true)
    vector(`${at}norm2.weight`, v.hidden, 0.2, 1)
    linear(`${at}mlp.gate_proj`, v.intermediate, v.hidden, 1, true)
    linear(`${at}mlp.up_proj`, v.intermediate, v.hidden, 1, true)
    linear(`${at}mlp.down_proj`, v.hidden, v.intermediate, 1, true)
  }
  vector('visual.merger.ln_q.weight', v.hidden, 0.2, 1)
  linear('visual.merger.mlp.0', 4 * v.hidden, 4 * v.hidden, 1, true)
  linear('visual.merger.mlp.2', t.hidden, 4 * v.hidden, 1, true)

  const head = t.hidden / t.heads
  matrix('model.embed_tokens.weight', t.vocab, t.hidden, t.tied ? 2.5 / Math.sqrt(t.hidden) : 1)
  for (let i = 0; i < t.layers; i++) {
    const at = `model.layers.${i}.`
    vector(`${at}input_layernorm.weight`, t.hidden, 0.2, 1)
    linear(`${at}self_attn.q_proj`, t.hidden, t.hidden, 1.4, true)
    linear(`${at}self_attn.k_proj`, t.kv_heads * head, t.hidden, 1.4, true)
    linear(`${at}self_attn.v_proj`, t.kv_heads * head, t.hidden, 1, true)
    linear(`${at}self_attn.o_proj`, t.hidden, t.hidden, 1, false)
    vector(`${at}post_attention_layernorm.weight`, t.hidden, 0.2, 1)
    linear(`${at}mlp.gate_proj`, t.intermediate, t.hidden, 1, false)
    linear(`${at}mlp.up_proj`, t.intermediate, t.hidden, 1, false)
    linear(`${at}mlp.down_proj`, t.hidden, t.intermediate, 1, false)
  }
  vector('model.norm.weight', t.hidden, 0.2, 1)
  if (!t.tied) matrix('lm_head.weight', t.vocab, t.hidden, 2.5 / Math.sqrt(t.hidden))
  if (profile.outliers) addOutliers(profile, list)
  return list
}

// Massive activations as in Qwen2.5: two residual channels near +-800, written by the embedding of every token and
// by the vision merger, and damped by the norms that read them.
function addOutliers(profile, list) {
  const { hidden, vocab, layers } = profile.text
  const channels = [[17, 800], [130, -600]]
  const [dtype, , embed] = list.get('model.embed_tokens.weight')
  const words = new Uint16Array(embed.buffer, embed.byteOffset, embed.byteLength / 2)
  const convert = dtype === 'BF16' ? toBf16 : toF16
  for (let token = 0; token < vocab; token++) {
    for (const [channel, value] of channels) words[token * hidden + channel] = convert(value * (0.9 + 0.2 * ((token * 7919) % 101) / 101))
  }
  const bias = list.get('visual.merger.mlp.2.bias')[2]
  const rows = new Uint16Array(bias.buffer, bias.byteOffset, bias.byteLength / 2)
  for (const [channel, value] of channels) rows[channel] = convert(value)
  const norms = ['model.norm.weight']
  for (let i = 0; i < layers; i++) norms.push(`model.layers.${i}.input_layernorm.weight`, `model.layers.${i}.post_attention_layernorm.weight`)
  for (const name of norms) {
    const data = list.get(name)[2]
    const values = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
    for (let i = 0; i < values.length; i++) {
      const outlier = channels.some(([channel]) => channel === i)
      values[i] = outlier ? convert(0.05) : convert(fromAny(values[i], dtype) * (name === 'model.norm.weight' ? 100 : 40))
    }
  }
}
function fromAny(bits, dtype) {
  if (dtype === 'F16') return fromF16(bits)
  u32[0] = bits << 16
  return f32[0]
}

function rename(name, naming) {
  if (naming === 'old' || name.startsWith('lm_head')) return name
  return name.startsWith('visual.') ? `model.${name}` : name.replace(/^model\./, 'model.language_model.')
}

export function writeSafetensors(path, list) {
  const header = {}
  let offset = 0
  for (const [name, [dtype, shape, bytes]] of list) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] }
    offset += bytes.length
  }
  let json = JSON.stringify(header)
  json += ' '.repeat((8 - (json.length % 8)) % 8)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(path, Buffer.concat([length, Buffer.from(json), ...list.map(([, [, , bytes]]) => bytes)]))
}

// --- a byte-level BPE with a few merges and Qwen's added tokens
function tokenizerTables() {
  const alphabet = []
  for (let b = 0, extra = 256; b < 256; b++) {
    const printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae
    alphabet.push(String.fromCodePoint(printable ? b : extra++))
  }
  const order = [...alphabet].sort((a, b) => a.codePointAt(0) - b.codePointAt(0))
  const vocab = new Map(order.map((c, i) => [c, i]))
  const merges = []
  const words = 'the and you are assistant helpful user system image what is this describe in of to a weather London get location name arguments function string'.split(' ')
  for (const word of words) {
    for (const spelling of [word, ` ${word}`]) {
      let left = null
      for (const byte of Buffer.from(spelling)) {
        const right = alphabet[byte]
        if (left !== null) {
          if (!vocab.has(left + right)) { vocab.set(left + right, vocab.size); merges.push([left, right]) }
          left += right
        } else left = right
      }
    }
  }
  const special = 'endoftext im_start im_end object_ref_start object_ref_end box_start box_end quad_start quad_end vision_start vision_end vision_pad image_pad video_pad'.split(' ').map((name) => `<|${name}|>`)
  const plain = ['<tool_call>', '</tool_call>', ...'fim_prefix fim_middle fim_suffix fim_pad repo_name file_sep'.split(' ').map((name) => `<|${name}|>`)]
  const added = [...special, ...plain].map((content, i) => ({ id: vocab.size + i, content, special: i < special.length }))
  return { vocab, merges, added }
}

const preTokenizer = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

function writeTokenizer(folder, kind, { vocab, merges, added }) {
  const json = (name, value) => writeFileSync(join(folder, name), JSON.stringify(value))
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false }
  if (kind === 'json') {
    json('tokenizer.json', {
      version: '1.0', truncation: null, padding: null,
      added_tokens: added.map((token) => ({ ...token, ...flags })),
      normalizer: { type: 'NFC' },
      pre_tokenizer: { type: 'Sequence', pretokenizers: [
        { type: 'Split', pattern: { Regex: preTokenizer }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false }] },
      post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false, byte_fallback: false,
        vocab: Object.fromEntries(vocab), merges: merges.map((pair) => pair.join(' ')) }
    })
  } else {
    json('vocab.json', Object.fromEntries(vocab))
    writeFileSync(join(folder, 'merges.txt'), `#version: 0.2\n${merges.map((pair) => pair.join(' ')).join('\n')}\n`)
  }
  json('tokenizer_config.json', {
    add_prefix_space: false, bos_token: null, eos_token: '<|im_end|>', pad_token: '<|endoftext|>', unk_token: null,
    added_tokens_decoder: Object.fromEntries(added.map(({ id, ...token }) => [id, { ...token, ...flags }])),
    clean_up_tokenization_spaces: false, errors: 'replace', model_max_length: 131072, split_special_tokens: false, tokenizer_class: 'Qwen2Tokenizer'
  })
}

function writeConfig(folder, profile, id) {
  const { text: t, vision: v } = profile
  const text = {
    hidden_size: t.hidden, num_hidden_layers: t.layers, num_attention_heads: t.heads, num_key_value_heads: t.kv_heads, intermediate_size: t.intermediate,
    vocab_size: t.vocab, rms_norm_eps: 1e-6, hidden_act: 'silu', max_position_embeddings: 4096, max_window_layers: t.layers, sliding_window: 4096,
    use_sliding_window: false, attention_dropout: 0, tie_word_embeddings: t.tied, bos_token_id: id('<|endoftext|>'), eos_token_id: id('<|im_end|>')
  }
  const rope = { rope_theta: 1000000.0, rope_scaling: { type: 'mrope', mrope_section: t.mrope_section } }
  const vision = {
    depth: v.depth, hidden_size: v.hidden, num_heads: v.heads, intermediate_size: v.intermediate, hidden_act: 'silu', in_chans: 3, in_channels: 3, patch_size: 14,
    spatial_patch_size: 14, spatial_merge_size: 2, temporal_patch_size: 2, window_size: 112, fullatt_block_indexes: v.full_blocks, tokens_per_second: 2,
    out_hidden_size: t.hidden, model_type: 'qwen2_5_vl'
  }
  const dtype = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' }[profile.dtype]
  const config = {
    architectures: ['Qwen2_5_VLForConditionalGeneration'], model_type: 'qwen2_5_vl', image_token_id: id('<|image_pad|>'), video_token_id: id('<|video_pad|>'),
    vision_start_token_id: id('<|vision_start|>'), vision_end_token_id: id('<|vision_end|>'), vision_token_id: id('<|vision_pad|>'), vision_config: vision,
    tie_word_embeddings: t.tied
  }
  if (profile.naming === 'old') Object.assign(config, text, rope, { torch_dtype: dtype })
  else Object.assign(config, { dtype, text_config: { ...text, model_type: 'qwen2_5_vl_text', rope_parameters: { rope_type: 'default', rope_theta: rope.rope_theta, mrope_section: t.mrope_section } } })
  if (profile.awq) config.quantization_config = { bits: 4, group_size: 128, modules_to_not_convert: ['visual'], quant_method: 'awq', version: 'gemm', zero_point: true }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, null, 2))
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ bos_token_id: id('<|endoftext|>'), pad_token_id: id('<|endoftext|>'), do_sample: true, eos_token_id: [id('<|im_end|>'), id('<|endoftext|>')], repetition_penalty: 1.0, temperature: 0.7 }))
  writeFileSync(join(folder, 'preprocessor_config.json'), JSON.stringify({
    min_pixels: 3136, max_pixels: 12845056, patch_size: 14, temporal_patch_size: 2, merge_size: 2, image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_std: [0.26862954, 0.26130258, 0.27577711], image_processor_type: 'Qwen2VLImageProcessor', processor_class: 'Qwen2_5_VLProcessor'
  }))
}

export function writeCheckpoint(folder, profile) {
  mkdirSync(folder, { recursive: true })
  const tables = tokenizerTables()
  const id = (content) => tables.added.find((token) => token.content === content).id
  if (id('<|file_sep|>') >= profile.text.vocab) throw new Error(`${profile.name}: vocab must be at least ${id('<|file_sep|>') + 1}`)
  writeTokenizer(folder, profile.tokenizer, tables)
  writeAdapters(folder, profile)
  writeConfig(folder, profile, id)
  const list = [...tensors(profile, new Random(profile.seed))].map(([name, tensor]) => [rename(name, profile.naming), tensor])
  if (profile.files === 1) return writeSafetensors(join(folder, 'model.safetensors'), list)
  const size = Math.ceil(list.length / profile.files)
  const weight_map = {}
  for (let file = 0; file < profile.files; file++) {
    const name = `model-${String(file + 1).padStart(5, '0')}-of-${String(profile.files).padStart(5, '0')}.safetensors`
    const part = list.slice(file * size, (file + 1) * size)
    for (const [tensor] of part) weight_map[tensor] = name
    writeSafetensors(join(folder, name), part)
  }
  const total_size = list.reduce((sum, [, [, , bytes]]) => sum + bytes.length, 0)
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size }, weight_map }))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { seed: { type: 'string' }, profiles: { type: 'string' } } })
  const [out, ...names] = positionals
  if (!out) {
    console.error('usage: node models/reference/checkpoint.mjs OUT [NAME...] [--seed N] [--profiles FILE]')
    process.exit(2)
  }
  for (const profile of JSON.parse(readFileSync(values.profiles ?? join(here, 'profiles.json'), 'utf8'))) {
    if (names.length && !names.includes(profile.name)) continue
    writeCheckpoint(join(out, profile.name), values.seed ? { ...profile, seed: Number(values.seed) } : profile)
    console.log(join(out, profile.name))
  }
}
