// Owns what is counted, and its text in Prometheus's format under vLLM's names. Fed by chat.ts, shown by dialects/vllm.ts.
// Surprise: this is no library's: what is kept are a few numbers, and the usual library needs Node.

const secondsBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320];
const tokenBuckets = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000];
const choiceBuckets = [1, 2, 5, 10, 20];

/** name -> help, buckets */
const histograms = {
  request_prompt_tokens: ['Tokens of a prompt.', tokenBuckets],
  request_generation_tokens: ['Tokens of an answer.', tokenBuckets],
  request_max_num_generation_tokens: ['Tokens of the longest choice.', tokenBuckets],
  request_params_n: ['Choices asked for.', choiceBuckets],
  request_params_max_tokens: ['The limit that was asked for.', tokenBuckets],
  request_queue_time_seconds: ['From the request to its start.', secondsBuckets],
  time_to_first_token_seconds: ['From the request to its first token.', secondsBuckets],
  time_per_output_token_seconds: ['Between two tokens, as the mean of a request.', secondsBuckets],
  request_inference_time_seconds: ['From its start to its end.', secondsBuckets],
  request_prefill_time_seconds: [
    'From its start in the engine to its first token.',
    secondsBuckets,
  ],
  request_decode_time_seconds: ['From its first token to its last.', secondsBuckets],
  e2e_request_latency_seconds: ['From the request to its end.', secondsBuckets],
} as const;
/** name -> help, the label that tells its series apart */
const counters = {
  prompt_tokens_total: ['Tokens of prompts.', null],
  generation_tokens_total: ['Tokens of answers.', null],
  request_success_total: ['Answers that were finished.', 'finished_reason'],
  request_failure_total: ['Completions that failed.', 'code'],
} as const;

type HistogramName = keyof typeof histograms;
type CounterName = keyof typeof counters;

/** What somebody else counts, as it is now; a gauge unless it is said to be a counter. */
export interface Reading {
  help: string;
  value: number;
  kind?: 'counter';
  labels?: [name: string, value: string][];
}

export interface Metrics {
  /** Adds one value to a histogram. */
  observe(name: HistogramName, value: number): void;
  /** Adds to a counter, to its series of this label. */
  count(name: CounterName, by: number, label?: string): void;
  /** All of it as text, with these readings. */
  text(model: string, readings: Record<string, Reading>): string;
}

export function createMetrics(): Metrics {
  const seen = new Map<HistogramName, { counts: number[]; sum: number; count: number }>();
  const counted = new Map<CounterName, Map<string, number>>();
  return {
    observe(name, value) {
      const buckets = histograms[name][1];
      const one = seen.get(name) ?? { counts: buckets.map(() => 0), sum: 0, count: 0 };
      seen.set(name, one);
      one.count++;
      one.sum += value;
      for (const [i, bound] of buckets.entries())
        if (value <= bound) one.counts[i] = (one.counts[i] ?? 0) + 1;
    },
    count(name, by, label = '') {
      const series = counted.get(name) ?? new Map<string, number>();
      counted.set(name, series);
      series.set(label, (series.get(label) ?? 0) + by);
    },
    text(model, readings) {
      const lines: string[] = [];
      const name = (base: string): string => `vllm:${base}`;
      const head = (base: string, kind: string, help: string): void =>
        void lines.push(`# HELP ${name(base)} ${help}`, `# TYPE ${name(base)} ${kind}`);
      const labels = (more: [string, string][] = []): string =>
        [['model_name', model], ...more]
          .map(([key, value]) => `${key}="${String(value).replace(/[\\"\n]/g, escaped)}"`)
          .join(',');
      const line = (base: string, value: number, more?: [string, string][]): void =>
        void lines.push(`${name(base)}{${labels(more)}} ${value}`);
      for (const [base, { help, value, kind, labels: more }] of Object.entries(readings)) {
        head(base, kind ?? 'gauge', help);
        line(base, value, more);
      }
      for (const [base, [help, label]] of Object.entries(counters)) {
        head(base, 'counter', help);
        const series = counted.get(base as CounterName) ?? new Map(label ? [] : [['', 0]]);
        for (const [which, value] of series) line(base, value, label ? [[label, which]] : []);
      }
      for (const [base, [help, buckets]] of Object.entries(histograms)) {
        const { counts = [], sum = 0, count = 0 } = seen.get(base as HistogramName) ?? {};
        head(base, 'histogram', help);
        for (const [i, bound] of buckets.entries())
          line(`${base}_bucket`, counts[i] ?? 0, [['le', String(bound)]]);
        line(`${base}_bucket`, count, [['le', '+Inf']]);
        line(`${base}_sum`, sum);
        line(`${base}_count`, count);
      }
      return `${lines.join('\n')}\n`;
    },
  };
}

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}
