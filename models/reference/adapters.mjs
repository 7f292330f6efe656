// Random LoRA adapters for the checkpoints, as PEFT writes them. Called by checkpoint.mjs, which puts them into
// NAME/adapters/. Two kinds, so that every field that changes the arithmetic is met: `all` has every target, ranks and
// alphas by pattern, f32 and the new names; `some` has two targets of every other layer, bf16, rsLoRA and the old names.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random, encode, normals, writeSafetensors } from './checkpoint.mjs'

const targets = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj']

function shapeOf(target, { hidden, heads, kv_heads, intermediate }) {
  const kv = (kv_heads * hidden) / heads
  const [, name] = target.split('.')
  if (name === 'k_proj' || name === 'v_proj') return [kv, hidden]
  if (name === 'gate_proj' || name === 'up_proj') return [intermediate, hidden]
  return [hidden, name === 'down_proj' ? intermediate : hidden]
}

const kinds = {
  all: {
    dtype: 'F32', prefix: 'model.language_model.layers.', layers: () => true, targets, rank: (target) => (target === 'mlp.down_proj' ? 12 : 4),
    config: { r: 4, lora_alpha: 8, rank_pattern: { down_proj: 12 }, alpha_pattern: { down_proj: 6 }, target_modules: 'model\\.language_model\\.layers\\..*(q|k|v|o|gate|up|down)_proj' }
  },
  some: {
    dtype: 'BF16', prefix: 'model.layers.', layers: (layer) => layer % 2 === 1, targets: ['self_attn.q_proj', 'self_attn.v_proj'], rank: () => 9,
    config: { r: 9, lora_alpha: 5, use_rslora: true, target_modules: ['q_proj', 'v_proj'] }
  }
}

export function writeAdapters(folder, profile) {
  const random = new Random(profile.seed + 1000)
  for (const [name, kind] of Object.entries(kinds)) {
    const list = []
    const layers = [...Array(profile.text.layers).keys()].filter(kind.layers)
    for (const layer of layers) {
      for (const target of kind.targets) {
        const [n, k] = shapeOf(target, profile.text)
        const rank = kind.rank(target)
        const at = `base_model.model.${kind.prefix}${layer}.${target}`
        const matrix = (side, rows, columns, std) => list.push([`${at}.lora_${side}.weight`, [kind.dtype, [rows, columns], encode(normals(random, rows * columns, std), kind.dtype)]])
        matrix('A', rank, k, 1 / Math.sqrt(k))
        matrix('B', n, rank, 0.12)
      }
    }
    const to = join(folder, 'adapters', name)
    mkdirSync(to, { recursive: true })
    writeSafetensors(join(to, 'adapter_model.safetensors'), list)
    const config = { peft_type: 'LORA', task_type: 'CAUSAL_LM', base_model_name_or_path: profile.name, bias: 'none', lora_dropout: 0, ...kind.config, ...(Array.isArray(kind.config.target_modules) && { layers_to_transform: layers, layers_pattern: 'layers' }) }
    writeFileSync(join(to, 'adapter_config.json'), JSON.stringify(config, null, 2))
  }
}
