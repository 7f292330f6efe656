// Owns what `npm run demo` shows, after the build: the embedded model describes an image, writes boxes as JSON, reads a
// sign and calls a tool, all through AI.run. Started by tools/demo.mjs, or alone. Surprise: the images and the place
// name are held out: the model has never seen them.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { install } from 'ocelli';

const model = 'qwen-qwen25-vl-3b-instruct-awq';
const weather = JSON.parse(readFileSync(new URL('weather_tool.json', import.meta.url), 'utf8'));
/** Title, question, and an image of models/demo/examples or tools. */
const shown = [
  { title: 'a description', ask: 'Describe this image.', image: 'street.png' },
  {
    title: 'boxes as JSON',
    ask: 'Detect all objects and output their bounding boxes in JSON format.',
    image: 'shapes.png',
  },
  { title: 'reading', ask: 'What does the text say?', image: 'sign.png' },
  { title: 'counting', ask: 'How many stars are there?', image: 'stars.png' },
  { title: 'a tool call', ask: 'What is the weather in Jakarta?', tools: [weather] },
];

const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const style = (code, text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
const line = (text = '') => console.log(text);

function bodyOf({ ask, image, tools }) {
  const system = 'You are a helpful assistant with access to tools.';
  if (tools) {
    const messages = [
      { role: 'system', content: system },
      { role: 'user', content: ask },
    ];
    return { messages, tools, temperature: 0, max_tokens: 160 };
  }
  const url = new URL(`examples/${image}`, import.meta.url).href;
  const content = [
    { type: 'image_url', image_url: { url } },
    { type: 'text', text: ask },
  ];
  return { messages: [{ role: 'user', content }], temperature: 0, max_tokens: 300 };
}

/** Streams one answer to the screen and tells how fast it came. */
async function show(run, entry) {
  line();
  const where = entry.image ? relative('.', fileURLToPath(new URL(`examples/${entry.image}`, import.meta.url))) : '';
  line(style('1;36', `--- ${entry.title}`) + (where ? style('2', `  ${where}`) : ''));
  line(style('33', `> ${entry.ask}`));
  let end;
  const onEvent = (event) => (end = event.type === 'done' ? event : end);
  const stream = await run(model, { ...bodyOf(entry), stream: true }, { onEvent });
  for await (const chunk of stream) {
    const { content, tool_calls: calls } = chunk.choices[0].delta;
    if (content) process.stdout.write(content);
    for (const { function: call } of calls ?? []) {
      if (call.name) process.stdout.write(`${style('35', 'calls')} ${call.name} `);
      process.stdout.write(call.arguments);
    }
  }
  line();
  const { usage, timing } = end;
  const rate = (1000 * (usage.completion_tokens - 1)) / timing.decode_ms;
  const figures = [
    `${usage.prompt_tokens} prompt tokens`,
    `first token after ${(timing.first_token_ms / 1000).toFixed(2)} s`,
    `${usage.completion_tokens} tokens`,
    `${rate.toFixed(0)} tokens/s`,
  ];
  line(style('2', `    ${figures.join(', ')}`));
}

const ai = install(process.argv[2] ? { model: process.argv[2] } : {});
try {
  const { model: name, variant, threads, precision } = await ai.info();
  line(style('1', `${name}: a demonstration model, trained from scratch for a small world of drawn scenes`));
  line(style('2', `${precision.linear} weights, ${variant}, ${threads} thread${threads === 1 ? '' : 's'}`));
  for (const entry of shown) await show(globalThis.Azion.AI.run, entry);
} catch (error) {
  console.error(`the demo stopped: ${error.message}`);
  process.exitCode = 1;
} finally {
  await ai.close();
}
