// Owns the form: the question, what goes with it, and the request that it becomes. Called by page.js. Surprise: the
// suggestions are phrased as the embedded model was taught; a large model takes others as well.
import { byId, make } from './places.js';

/** Label, question, with the picture, with the tool. */
const suggestions = [
  ['Describe', 'Describe this image.', true, false],
  [
    'Find objects',
    'Detect all objects and output their bounding boxes in JSON format.',
    true,
    false,
  ],
  ['Read', 'What does the text say?', true, false],
  ['Count', 'How many stars are there?', true, false],
  ['Call a tool', 'What is the weather in Jakarta?', false, true],
];

/** Read by the model, called by nobody: the page shows the call. */
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the current weather for a location',
    parameters: {
      type: 'object',
      properties: { location: { type: 'string', description: 'The city and state' } },
      required: ['location'],
    },
  },
};
const toolSystem = 'You are a helpful assistant with access to tools.';

/** `ask` is called with nothing when a question is to be answered, `stop` when an answer is to end. */
export function setUpQuestion({ ask, stop }) {
  const field = byId('question');
  for (const [label, text, picture, tool] of suggestions) {
    const button = make('button', { type: 'button', textContent: label, title: text });
    button.addEventListener('click', () => {
      field.value = text;
      byId('with-picture').checked = picture;
      byId('with-tool').checked = tool;
      ask();
    });
    byId('suggestions').append(button);
  }
  byId('form').addEventListener('submit', (event) => {
    event.preventDefault();
    ask();
  });
  field.addEventListener('keydown', (event) => {
    // While an input method composes, Enter belongs to it.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId('form').requestSubmit();
  });
  byId('stop').addEventListener('click', stop);
  document.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') stop();
  });
}

/** The body of the request; `image`: the picture's bytes, or null. */
export function bodyOf(image) {
  const text = byId('question').value.trim();
  const content = [{ type: 'text', text }];
  if (image) content.unshift({ type: 'image', image });
  const tool = byId('with-tool').checked;
  const messages = [{ role: 'user', content: image ? content : text }];
  if (tool) messages.unshift({ role: 'system', content: toolSystem });
  return {
    stream: true,
    messages,
    temperature: 0,
    max_tokens: 512,
    ...(tool && { tools: [weather] }),
  };
}
