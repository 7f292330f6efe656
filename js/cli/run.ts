// Owns `ocelli run`: a prompt, one chat-completions body, or many. Called by main.ts. Surprise: bodies are handed on as
// text, so that numbers in them reach the prompt spelled as they were.
import type { AI, RunExtras } from '../ai.ts';
import { errorObject, OcelliError } from '../errors.ts';
import { makeFolder } from '../folders.ts';
import type { DumpFile, EngineEvent } from '../thread/protocol.ts';
import type { ChatBody, ChatStream, ContentPart } from '../types.ts';
import { type Given, UsageError } from './arguments.ts';
import { adapterOf, fieldsOf, figures, imageUrl, writeAnswer } from './asking.ts';
import { writeDump } from './dump.ts';
import { aiOf, readText, say, talkative } from './io.ts';
import { stopSignal } from './stop.ts';

export async function runCommand(given: Given): Promise<number> {
  const request = given.text('request');
  const requests = given.text('requests');
  const ways = [given.operands[0], request, requests].filter((way) => way !== undefined).length;
  if (ways > 1) throw new UsageError('PROMPT, --request and --requests exclude each other');
  if (requests !== undefined && given.text('dump'))
    throw new UsageError('--dump works with one request only');
  if (ways === 0 && given.texts('image').length === 0 && process.stdin.isTTY) {
    throw new UsageError('a PROMPT, an --image, --request or --requests is needed');
  }
  const dump = given.text('dump');
  // Before anything is computed: what cannot be kept should not be waited for.
  if (dump !== undefined) await makeFolder(dump);
  const ai = aiOf(given);
  const signal = stopSignal();
  try {
    if (requests !== undefined) return await runMany(ai, given, await readText(requests), signal);
    if (request !== undefined) return await runOne(ai, given, await readText(request), signal);
    return await runPrompt(ai, given, signal);
  } finally {
    await ai.close();
  }
}

/** Watches a run: the figures for the last line, and the dump. */
function watch(given: Given, signal: AbortSignal): { extras: RunExtras; end(): Promise<void> } {
  let end: (EngineEvent & { type: 'done' }) | undefined;
  let files: DumpFile[] | undefined;
  const onEvent = (event: EngineEvent): void => {
    if (event.type === 'done') end = event;
    if (event.type === 'dump') ({ files } = event);
  };
  const dump = given.text('dump');
  return {
    extras: { signal, onEvent, dump: dump !== undefined },
    async end() {
      if (dump !== undefined && files) await writeDump(dump, files);
      if (talkative(given) && end) say(figures(end));
    },
  };
}

async function runPrompt(ai: AI, given: Given, signal: AbortSignal): Promise<number> {
  const images = given.texts('image');
  let prompt = given.operands[0];
  if (prompt === '-' || (prompt === undefined && images.length === 0))
    prompt = (await readText('-')).trim();
  const content: ContentPart[] = images.map((name) => ({
    type: 'image_url',
    image_url: { url: imageUrl(name) },
  }));
  content.push({ type: 'text', text: prompt ?? 'Describe the image.' });
  const messages: ChatBody['messages'] = [
    { role: 'user', content: images.length > 0 ? content : (prompt ?? '') },
  ];
  const system = given.text('system');
  if (system !== undefined) messages.unshift({ role: 'system', content: system });
  const body = { messages, ...fieldsOf(given) };
  if (talkative(given)) {
    // Said when all is loaded; the run does not wait for that, and tells what goes wrong.
    void ai.info().then(
      ({ model, variant, threads }) =>
        say(`${model}, ${variant}, ${threads} thread${threads === 1 ? '' : 's'}`),
      () => undefined,
    );
  }
  const { extras, end } = watch(given, signal);
  const stream = await ai.run(await adapterOf(ai, given), { ...body, stream: true }, extras);
  await writeAnswer(stream, () => undefined);
  await end();
  return 0;
}

/** What the options of the command line add to a body that does not say it itself. */
function withOptions(text: string, given: Given): { text: string; model: string | null } {
  let body: Record<string, unknown>;
  try {
    body = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { text, model: null };
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return { text, model: null };
  const added: string[] = [];
  for (const [key, value] of Object.entries(fieldsOf(given)))
    if (body[key] === undefined) added.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
  // Put in as text: the rest keeps its spelling.
  const more =
    added.length > 0 && Object.keys(body).length > 0 ? `${added.join(',')},` : added.join(',');
  const model = typeof body['model'] === 'string' ? body['model'] : null;
  return { text: text.replace('{', `{${more}`), model };
}

async function runOne(ai: AI, given: Given, request: string, signal: AbortSignal): Promise<number> {
  const { text, model } = withOptions(request, given);
  const adapter = await adapterOf(ai, given);
  const { extras, end } = watch(given, signal);
  const answer = await ai.run(model ?? adapter, text, extras);
  let failed = false;
  if (answer instanceof Response) {
    const decoder = new TextDecoder();
    const { body } = answer as ChatStream;
    for await (const piece of body as ReadableStream<Uint8Array>) {
      const lines = decoder.decode(piece, { stream: true });
      failed ||= lines.startsWith('data: {"error":');
      process.stdout.write(lines);
    }
  } else process.stdout.write(`${JSON.stringify(answer)}\n`);
  await end();
  return failed ? 1 : 0;
}

/** JSON Lines in, JSON Lines out in the same order, several at once. A failed one gives {"error": ...} in its place. */
async function runMany(ai: AI, given: Given, lines: string, signal: AbortSignal): Promise<number> {
  const bodies = lines.split('\n').filter((line) => line.trim() !== '');
  const adapter = await adapterOf(ai, given);
  const answers: (string | undefined)[] = [];
  let next = 0;
  let printed = 0;
  let failures = 0;
  const start = performance.now();
  const one = async (index: number): Promise<void> => {
    const { text, model } = withOptions(bodies[index] as string, given);
    try {
      const answer = await ai.run(model ?? adapter, text, { signal });
      answers[index] = JSON.stringify(answer instanceof Response ? await answer.json() : answer);
    } catch (error) {
      if (signal.aborted || !(error instanceof OcelliError)) throw error;
      failures++;
      answers[index] = JSON.stringify({ error: errorObject(error) });
    }
    for (; answers[printed] !== undefined; printed++) process.stdout.write(`${answers[printed]}\n`);
  };
  const work = async (): Promise<void> => {
    while (next < bodies.length) await one(next++);
  };
  await Promise.all(Array.from({ length: given.number('parallel') ?? 4 }, work));
  if (talkative(given)) {
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    say(`${bodies.length} requests in ${seconds} s, ${failures} failed`);
  }
  return failures > 0 ? 1 : 0;
}
