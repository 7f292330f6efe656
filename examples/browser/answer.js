// Owns one answer at a time: asks, shows the text, tool calls and boxes as they come, tells how fast, and stops. Called by
// page.js. Surprise: a question that comes while an answer is being written stops that one first.
import { boxesIn, clearBoxes, frameOf, showBoxes } from './boxes.js';
import { count, describe } from './figures.js';
import { byId, make, say } from './places.js';

const stages = { vision: 'Looking at the picture', prompt: 'Reading the question' };

function state(name) {
  byId('answer-card').dataset.state = name;
  const busy = name === 'answering';
  byId('answer').setAttribute('aria-busy', String(busy));
  byId('stop').setAttribute('aria-disabled', String(!busy));
}

/** Takes the last answer away. */
export function clearAnswer() {
  for (const id of ['asked', 'answer', 'calls', 'working']) byId(id).replaceChildren();
  describe(byId('speed'), []);
  clearBoxes();
  state('idle');
}

export function createAnswer(ai) {
  let current = null;

  /** Streams the answer to `body` to the page; failures are shown, not thrown. */
  async function ask(question, body) {
    const mine = new AbortController();
    current?.abort();
    current = mine;
    clearAnswer();
    state('answering');
    byId('asked').textContent = question;
    byId('working').textContent = 'Waiting for the model';
    say('Answering');
    const answer = new Written();
    try {
      const signal = mine.signal;
      const onEvent = (event) => current === mine && answer.note(event);
      const stream = await ai.run(null, body, { signal, onEvent });
      for await (const chunk of stream) {
        if (current !== mine) return;
        answer.add(chunk);
      }
      if (current === mine) answer.end('done');
    } catch (error) {
      if (current !== mine) return;
      if (mine.signal.aborted) answer.end('stopped');
      else answer.end('failed', error);
    } finally {
      if (current === mine) current = null;
    }
  }
  return {
    ask,
    stop: () => current?.abort(),
    /** Stops what is being written and takes it away. */
    clear() {
      const old = current;
      current = null;
      old?.abort();
      clearAnswer();
    },
  };
}

/** What has been written of an answer. */
class Written {
  #text = '';
  #calls = [];
  #frame = null;
  #boxes = [];
  #tokens = 0;
  #first = 0;
  #done = null;

  /** An event of the core, for what the chunks do not tell. */
  note(event) {
    if (event.type === 'prompt' && event.images[0]) this.#frame = frameOf(event.images[0]);
    if (event.type === 'progress') {
      const what = stages[event.stage] ?? event.stage;
      const part = event.total > 0 ? `: ${Math.round((100 * event.done) / event.total)} %` : '';
      byId('working').textContent = `${what}${part}`;
    }
    if (event.type === 'delta') {
      this.#first ||= performance.now();
      this.#tokens += event.tokens ?? 1;
    }
    if (event.type === 'done') this.#done = event;
  }

  add(chunk) {
    const { content, tool_calls: calls } = chunk.choices[0]?.delta ?? {};
    if (content) {
      this.#text += content;
      const shown = byId('answer');
      shown.classList.toggle('code', this.#text.startsWith('```'));
      shown.append(content);
      shown.scrollTop = shown.scrollHeight;
    }
    for (const { index, function: call } of calls ?? []) this.#addCall(index, call);
    if (this.#frame) {
      this.#boxes = boxesIn(this.#text, this.#frame);
      showBoxes(this.#boxes, this.#frame);
    }
    const seconds = (performance.now() - this.#first) / 1000;
    if (this.#first && this.#tokens > 1 && seconds > 0)
      byId('working').textContent =
        `Writing: ${count(this.#tokens, 'token')}, ${((this.#tokens - 1) / seconds).toFixed(0)} a second`;
  }

  #addCall(index, { name = '', arguments: text }) {
    const call = (this.#calls[index] ??= { name: '', text: '', shown: make('code') });
    call.name += name;
    call.text += text;
    call.shown.textContent = `${call.name}(${call.text})`;
    if (!call.shown.isConnected)
      byId('calls').append(make('p', { textContent: 'The model calls a tool: ' }, call.shown));
  }

  end(how, error) {
    state(how);
    const working = byId('working');
    working.textContent = { done: '', stopped: 'Stopped.' }[how] ?? `${error.message}`;
    describe(byId('speed'), this.#figures());
    const calls = this.#calls.map(({ name, text }) => `The model calls ${name} with ${text}.`);
    const told = this.#boxes.length > 0 ? this.#boxesTold() : `${this.#text} ${calls.join(' ')}`;
    const before = { done: '', stopped: 'Stopped. ', failed: 'No answer: ' }[how];
    say(`${before}${how === 'failed' ? error.message : told.trim()}`);
    if (how === 'done' && this.#calls.length > 0)
      working.textContent = 'A program would run it now and hand the result back.';
    else if (how === 'done' && this.#text.includes('"bbox_2d"') && this.#boxes.length === 0)
      working.textContent = 'No boxes in the picture.';
  }

  #boxesTold() {
    const labels = this.#boxes.map(({ label }) => label).join(', ');
    return `${count(this.#boxes.length, 'box', 'boxes')}: ${labels}.`;
  }

  #figures() {
    if (!this.#done?.timing) return [];
    const { usage, timing } = this.#done;
    const rate = (1000 * (usage.completion_tokens - 1)) / timing.decode_ms;
    return [
      ['Prompt', count(usage.prompt_tokens, 'token')],
      ['First token', `${(timing.first_token_ms / 1000).toFixed(2)} s`],
      ['Answer', count(usage.completion_tokens, 'token')],
      ...(Number.isFinite(rate) ? [['Speed', `${rate.toFixed(0)} tokens/s`]] : []),
    ];
  }
}
