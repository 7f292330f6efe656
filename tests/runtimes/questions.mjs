// Owns what every runtime is asked: a question and a picture, each streamed and whole, answered with token ids and
// log-probabilities, so that "the same answer" means the same bits. Called by the programs of this folder inside each
// runtime, and by the suites to make the answers that are expected. Surprise: it runs in isolates and pages as well, so
// nothing but the language is used.

/** What an answer is compared by: the text, every token, and the floats behind each choice. */
const exact = { temperature: 0, return_token_ids: true, logprobs: true, top_logprobs: 3 };

/** The four requests by name; `picture` is a data URL. */
export function questions(picture) {
  const text = [{ role: 'user', content: 'What is the capital of France?' }];
  const content = [
    { type: 'image_url', image_url: { url: picture } },
    { type: 'text', text: 'Describe this image.' },
  ];
  const image = [{ role: 'user', content }];
  return {
    'text, streamed': { ...exact, stream: true, max_tokens: 40, messages: text },
    'text, whole': { ...exact, max_tokens: 40, messages: text },
    'image, streamed': { ...exact, stream: true, max_tokens: 60, messages: image },
    'image, whole': { ...exact, max_tokens: 60, messages: image },
  };
}

/** Everything of a completion that must be the same everywhere. */
export function essence({ choices, usage, prompt_token_ids: prompt }) {
  const [{ message, token_ids: tokens, logprobs, finish_reason: finish }] = choices;
  return { text: message.content, finish, prompt, tokens, logprobs, usage };
}

/** Puts the pieces of a streamed answer together; `chunks`: how many of them brought text. */
export function assemble(pieces) {
  const whole = { text: '', finish: null, prompt: null, tokens: [], logprobs: { content: [] } };
  let chunks = 0;
  for (const piece of pieces) {
    whole.prompt ??= piece.prompt_token_ids ?? null;
    whole.usage = piece.usage ?? whole.usage;
    const [choice] = piece.choices;
    if (!choice) continue;
    if (choice.delta.content) chunks++;
    whole.text += choice.delta.content ?? '';
    whole.tokens.push(...(choice.token_ids ?? []));
    whole.logprobs.content.push(...(choice.logprobs?.content ?? []));
    whole.finish = choice.finish_reason ?? whole.finish;
  }
  return { ...whole, chunks };
}

/** Asks everything through `run` and resolves to the answers by name. */
export async function answers(run, picture) {
  const found = {};
  for (const [name, body] of Object.entries(questions(picture))) {
    const answer = await run(null, body);
    if (!body.stream) found[name] = essence(answer);
    else {
      const pieces = [];
      for await (const piece of answer) pieces.push(piece);
      found[name] = assemble(pieces);
    }
  }
  return found;
}
