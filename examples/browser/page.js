// Owns the page: puts its parts together. Loaded by index.html. Surprise: there is no framework and no build; every file here
// is what the browser runs.
import { createAnswer } from './answer.js';
import { setUpCamera } from './camera.js';
import { openModel } from './model.js';
import { setUpPicture } from './picture.js';
import { byId, say } from './places.js';
import { bodyOf, setUpQuestion } from './question.js';

let answer;
const picture = setUpPicture(() => answer?.clear());
setUpCamera(picture.show);

async function ask() {
  const question = byId('question').value.trim();
  if (!question) return say('There is no question');
  const wanted = byId('with-picture').checked;
  const image = wanted ? await picture.bytes() : null;
  if (wanted && !image) return (byId('picture-problem').textContent = 'There is no picture yet.');
  await answer.ask(question, bodyOf(image));
}
setUpQuestion({ ask: () => answer && ask(), stop: () => answer?.stop() });

try {
  answer = createAnswer(openModel());
} catch (error) {
  // What the address asks for is refused before anything is loaded.
  byId('model').dataset.state = 'failed';
  byId('model-title').textContent = 'The model cannot be opened';
  byId('load-text').textContent = error.message;
}
