// Owns the shapes of requests and replies as zod schemas: what the OpenAPI document shows, and what the server checks of
// bodies that never reach the core. Called by the dialects and openapi.ts. Surprise: chat bodies are described here but
// checked in the core, once, with vLLM's words; a test holds the two together.
import { z } from 'zod';
import { badRequest } from '../js/errors.ts';
import type { KeyEntry } from './keys.ts';

/** `value` as `schema` has it; throws a BadRequestError that names the place. */
export function valid<T>(schema: z.ZodType<T>, value: unknown): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [{ path, message } = { path: [], message: 'the request is not valid' }] = error.issues;
  const place = path.map(String).join('.');
  throw badRequest('invalid_value', place ? `${place}: ${message}` : message, place || null);
}

/** The schemas that have a name in the OpenAPI document. */
export const shapes = z.registry<{ id: string }>();

const maybe = <T extends z.ZodType>(schema: T) => schema.nullish();
const tokenId = z.int().min(0);

const textPart = z.looseObject({ type: z.literal('text'), text: z.string() });
const imagePart = z.looseObject({
  type: z.literal('image_url'),
  image_url: z.looseObject({
    url: z.string().meta({ description: 'An http(s) URL, or data:image/...;base64,...' }),
    detail: z.string().optional(),
  }),
});
const contentPart = z
  .union([textPart, imagePart, z.looseObject({ type: z.string() })])
  .register(shapes, { id: 'ContentPart' });

const toolCall = z
  .looseObject({
    id: z.string(),
    type: z.literal('function'),
    function: z.looseObject({ name: z.string(), arguments: z.string() }),
  })
  .register(shapes, { id: 'ToolCall' });

const message = z
  .looseObject({
    role: z.string().meta({ description: 'system, developer, user, assistant, tool, or your own' }),
    content: maybe(z.union([z.string(), z.array(contentPart)])),
    tool_calls: maybe(z.array(toolCall)),
    tool_call_id: z.string().optional(),
    name: z.string().optional(),
  })
  .register(shapes, { id: 'Message' });

const tool = z
  .looseObject({
    type: z.literal('function'),
    function: z.looseObject({
      name: z.string(),
      description: maybe(z.string()),
      parameters: maybe(z.looseObject({})).meta({ description: 'A JSON schema' }),
      strict: maybe(z.boolean()),
    }),
  })
  .register(shapes, { id: 'Tool' });

/** How tokens are drawn, and when to stop. */
const sampling = {
  min_tokens: maybe(z.int().min(0)),
  n: maybe(z.int().min(1).max(64)),
  temperature: maybe(z.number().min(0)),
  top_p: maybe(z.number().gt(0).max(1)),
  top_k: maybe(z.int().min(-1)),
  min_p: maybe(z.number().min(0).max(1)),
  presence_penalty: maybe(z.number().min(-2).max(2)),
  frequency_penalty: maybe(z.number().min(-2).max(2)),
  repetition_penalty: maybe(z.number().gt(0)),
  logit_bias: maybe(z.record(z.string(), z.number())),
  seed: maybe(z.int()),
  stop: maybe(z.union([z.string(), z.array(z.string())])),
  stop_token_ids: maybe(z.array(tokenId)),
  include_stop_str_in_output: maybe(z.boolean()),
  ignore_eos: maybe(z.boolean()),
};
const streaming = {
  stream: maybe(z.boolean()),
  stream_options: maybe(
    z.looseObject({
      include_usage: maybe(z.boolean()),
      continuous_usage_stats: maybe(z.boolean()),
    }),
  ),
};

/** A chat-completions body. Unknown keys are accepted. */
export const chatBody = z
  .looseObject({
    model: maybe(z.string()),
    messages: z.array(message).min(1),
    ...streaming,
    max_tokens: maybe(z.int().min(1)),
    max_completion_tokens: maybe(z.int().min(1)),
    ...sampling,
    logprobs: maybe(z.boolean()),
    top_logprobs: maybe(z.int().min(0).max(20)),
    tools: maybe(z.array(tool)),
    tool_choice: maybe(
      z.union([
        z.enum(['none', 'auto', 'required']),
        z.looseObject({
          type: z.literal('function'),
          function: z.looseObject({ name: z.string() }),
        }),
      ]),
    ),
    response_format: maybe(z.looseObject({ type: z.string() })),
    echo: maybe(z.boolean()),
    add_generation_prompt: maybe(z.boolean()),
    continue_final_message: maybe(z.boolean()),
    chat_template: maybe(z.enum(['qwen', 'hermes'])),
    mm_processor_kwargs: maybe(
      z.looseObject({ min_pixels: z.int().optional(), max_pixels: z.int().optional() }),
    ),
    return_token_ids: maybe(z.boolean()),
  })
  .register(shapes, { id: 'ChatCompletionRequest' });

const usage = z
  .object({
    prompt_tokens: z.int(),
    total_tokens: z.int(),
    completion_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }).nullable().optional(),
  })
  .register(shapes, { id: 'Usage' });
const finishReason = z.enum(['stop', 'length', 'tool_calls', 'abort']).nullable();
const logprobs = z.looseObject({ content: z.array(z.looseObject({})) }).nullable();
const stopReason = z.union([z.string(), z.int()]).nullable();

export const chatReply = z
  .looseObject({
    id: z.string(),
    object: z.literal('chat.completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.looseObject({
        index: z.int(),
        message: z.looseObject({
          role: z.literal('assistant'),
          reasoning_content: z.null(),
          content: z.string().nullable(),
          tool_calls: z.array(toolCall),
        }),
        logprobs,
        finish_reason: finishReason,
        stop_reason: stopReason,
      }),
    ),
    usage,
    prompt_logprobs: z.array(z.unknown()).nullable(),
  })
  .register(shapes, { id: 'ChatCompletion' });

export const chatChunk = z
  .looseObject({
    id: z.string(),
    object: z.literal('chat.completion.chunk'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.looseObject({
        index: z.int(),
        delta: z.looseObject({ role: z.string().optional(), content: z.string().optional() }),
        logprobs,
        finish_reason: finishReason,
        stop_reason: stopReason.optional(),
      }),
    ),
    usage: usage.optional(),
  })
  .register(shapes, { id: 'ChatCompletionChunk' });

/** What of a text completion's body is checked here; a list of prompts is answered one by one. */
export const completionOwn = z.looseObject({
  prompt: z.union(
    [z.string(), z.array(z.string()), z.array(tokenId), z.array(z.array(tokenId))],
    'must be a text, token ids, or a list of either',
  ),
  n: maybe(z.int().min(1).max(64)),
  max_tokens: maybe(z.int().min(0)).meta({ description: '16 by default; 0 with "echo" only' }),
  logprobs: maybe(z.int().min(0).max(20)),
  echo: maybe(z.boolean()),
  suffix: maybe(z.string()),
});
export const completionBody = completionOwn
  .extend({ model: maybe(z.string()), ...streaming, ...sampling })
  .register(shapes, { id: 'CompletionRequest' });

const completionChoice = {
  index: z.int(),
  text: z.string(),
  logprobs: z
    .object({
      text_offset: z.array(z.int()),
      token_logprobs: z.array(z.number().nullable()),
      tokens: z.array(z.string()),
      top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    })
    .nullable(),
  finish_reason: finishReason,
  stop_reason: stopReason,
};
const completionHead = {
  id: z.string(),
  object: z.literal('text_completion'),
  created: z.int(),
  model: z.string(),
};
export const completionReply = z
  .looseObject({
    ...completionHead,
    choices: z.array(
      z.looseObject({ ...completionChoice, prompt_logprobs: z.array(z.unknown()).nullable() }),
    ),
    usage,
  })
  .register(shapes, { id: 'Completion' });
export const completionChunk = z
  .looseObject({
    ...completionHead,
    choices: z.array(z.looseObject(completionChoice)),
    usage: usage.nullable(),
  })
  .register(shapes, { id: 'CompletionChunk' });

const errorFields = {
  message: z.string(),
  type: z.string(),
  param: z.string().nullable(),
  code: z.int(),
};
export const errorReply = z
  .looseObject({ object: z.literal('error'), ...errorFields, error: z.object(errorFields) })
  .register(shapes, { id: 'Error' });

/** Segmind's: the documented keys of a completion, and an error that is a text. */
export const segmindReply = z
  .looseObject({
    id: z.string(),
    object: z.literal('chat.completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.looseObject({
        index: z.int(),
        message: z.looseObject({
          role: z.literal('assistant'),
          content: z.string(),
          tool_calls: z.array(toolCall).optional(),
        }),
        finish_reason: finishReason,
      }),
    ),
    usage: z.object({
      prompt_tokens: z.int(),
      completion_tokens: z.int(),
      total_tokens: z.int(),
    }),
  })
  .register(shapes, { id: 'SegmindCompletion' });
export const segmindError = z
  .object({ error: z.string() })
  .register(shapes, { id: 'SegmindError' });

export const adapterBody = z
  .looseObject({ lora_name: z.string().min(1), lora_path: z.string().min(1) })
  .register(shapes, { id: 'LoadAdapterRequest' });
export const adapterName = z
  .looseObject({ lora_name: z.string().min(1) })
  .register(shapes, { id: 'UnloadAdapterRequest' });

export const modelCard = z
  .looseObject({
    id: z.string(),
    object: z.literal('model'),
    created: z.int(),
    owned_by: z.string(),
    root: z.string(),
    parent: z.string().nullable(),
    max_model_len: z.int().nullable(),
    permission: z.array(z.looseObject({})),
  })
  .register(shapes, { id: 'Model' });
export const modelList = z
  .object({ object: z.literal('list'), data: z.array(modelCard) })
  .register(shapes, { id: 'ModelList' });

export const tokenizePrompt = z.looseObject({
  model: maybe(z.string()),
  prompt: z.string(),
  add_special_tokens: maybe(z.boolean()),
});
export const tokenizeChat = z.looseObject({
  model: maybe(z.string()),
  messages: z.array(message).min(1),
  tools: maybe(z.array(tool)),
  add_generation_prompt: maybe(z.boolean()),
  continue_final_message: maybe(z.boolean()),
});
/** A prompt where there is one, else the messages of a chat. */
export const tokenizeBody = z
  .union([tokenizePrompt, tokenizeChat])
  .register(shapes, { id: 'TokenizeRequest' });
export const tokenizeReply = z
  .object({ count: z.int(), max_model_len: z.int().nullable(), tokens: z.array(tokenId) })
  .register(shapes, { id: 'TokenizeReply' });
export const detokenizeBody = z
  .looseObject({ model: maybe(z.string()), tokens: z.array(tokenId) })
  .register(shapes, { id: 'DetokenizeRequest' });
export const detokenizeReply = z
  .object({ prompt: z.string() })
  .register(shapes, { id: 'DetokenizeReply' });

const keyEntry = z.strictObject({
  name: z.string().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
  requestsPerMinute: z.int().min(1).optional(),
  credits: z.int().min(0).optional(),
});

/** The keys of a configuration: an array of KeyEntry. Throws a BadRequestError. */
export function parseKeys(value: unknown): KeyEntry[] {
  return valid(z.array(keyEntry), value).map(({ requestsPerMinute, credits, ...entry }) => ({
    ...entry,
    ...(requestsPerMinute !== undefined && { requestsPerMinute }),
    ...(credits !== undefined && { credits }),
  }));
}
