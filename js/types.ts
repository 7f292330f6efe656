// Owns the public shapes: what a request may hold and what comes back. Called by every caller through index.ts.
// Surprise: a request's type is open on purpose; unknown keys are accepted, the core checks those it knows.
import type { FinishReason, ImageInfo, LogprobEntry } from './abi/calls.ts';

export interface TextPart {
  type: 'text';
  text: string;
}
/** An image: a data: or http(s) URL, in Node also a file: URL. */
export interface ImageUrlPart {
  type?: 'image_url';
  image_url: string | { url: string; detail?: string };
}
/** The same in the model's own spelling; bytes are those of an encoded image (PNG, JPEG, ...). */
export interface ImagePart {
  type: 'image';
  image: string | URL | Uint8Array | ArrayBuffer | Blob;
  min_pixels?: number;
  max_pixels?: number;
}
export type ContentPart =
  | TextPart
  | ImageUrlPart
  | ImagePart
  | { type: string; [key: string]: unknown };

export interface ToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}
export interface ChatMessage {
  role: string;
  content?: string | ContentPart[] | null;
  tool_calls?: ToolCall[] | null;
  tool_call_id?: string;
  name?: string;
  [key: string]: unknown;
}
export interface Tool {
  type: 'function';
  function: {
    name: string;
    description?: string;
    parameters?: unknown;
    strict?: boolean;
    [key: string]: unknown;
  };
}

/** A chat-completions body, less `model`. */
export interface ChatBody {
  messages: ChatMessage[];
  tools?: Tool[] | null;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean; continuous_usage_stats?: boolean } | null;
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  n?: number | null;
  seed?: number | null;
  stop?: string | string[] | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  prompt_logprobs?: number | null;
  /** 'none', 'auto', 'required' or a tool by name. */
  tool_choice?: string | { type: string; function: { name: string } } | null;
  parallel_tool_calls?: boolean | null;
  /** Puts the text of the message that the answer goes on with before it. */
  echo?: boolean | null;
  continue_final_message?: boolean | null;
  /** "qwen" (default: tools, images) or "hermes" (parity with services that run vLLM's example template). */
  chat_template?: string | null;
  mm_processor_kwargs?: { min_pixels?: number; max_pixels?: number } | null;
  /** Reports prompt_token_ids, and token_ids in each choice. */
  return_token_ids?: boolean | null;
  /**
   * Reports images: for each its width and height as the model saw it, which its boxes refer to, and source_width and
   * source_height, as it came.
   */
  return_image_sizes?: boolean | null;
  /** Makes the answer these tokens and reports logprobs at each. */
  forced_token_ids?: number[] | null;
  [key: string]: unknown;
}

export type ImageSize = Omit<ImageInfo, 'grid'>;

export interface PromptTokensDetails {
  /** Tokens of the prompt that an earlier request had computed: the first choice's. */
  cached_tokens: number;
}
export interface Usage {
  prompt_tokens: number;
  total_tokens: number;
  completion_tokens: number;
  /** Null unless createAI() was asked for it (`promptTokensDetails`). */
  prompt_tokens_details?: PromptTokensDetails | null;
}
export interface Logprobs {
  content: LogprobEntry[];
}
export interface Choice {
  index: number;
  message: {
    role: 'assistant';
    reasoning_content: null;
    content: string | null;
    tool_calls: ToolCall[];
  };
  logprobs: Logprobs | null;
  finish_reason: FinishReason;
  stop_reason: string | number | null;
  token_ids?: number[];
}
export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: Choice[];
  usage: Usage;
  prompt_logprobs: unknown[] | null;
  prompt_token_ids?: number[];
  images?: ImageSize[];
}

export interface ToolCallChunk {
  index: number;
  id?: string;
  type?: 'function';
  function: { name?: string; arguments: string };
}
export interface ChoiceChunk {
  index: number;
  delta: { role?: 'assistant'; content?: string; tool_calls?: ToolCallChunk[] };
  logprobs: Logprobs | null;
  finish_reason: FinishReason | null;
  stop_reason?: string | number | null;
  token_ids?: number[];
}
export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: ChoiceChunk[];
  usage?: Usage;
  /** In the first chunk. */
  prompt_token_ids?: number[];
  images?: ImageSize[];
}

/** What `stream: true` resolves to: a Response with SSE bytes that can also be iterated over as parsed chunks. */
export interface ChatStream extends Response, AsyncIterable<ChatCompletionChunk> {
  /** The assembled completion. */
  json(): Promise<ChatCompletion>;
}
