// Owns visiting examples/browser as a person would: in a frame, by clicks, keys and pictures given in every way; posts what was
// seen, and what axe finds wrong with the page in each of its states. Opened by page.test.ts, which gives the frame's
// { width, height } in the address. Surprise: the answer is stopped from a mutation observer, in the same task that shows its
// first text, since the embedded model writes a whole answer in less time than a timer takes.
const post = (path, text) => fetch(path, { method: 'POST', body: text });
const size = JSON.parse(decodeURIComponent(self.location.search.slice(1)));
const violations = [];
const barriers = {};
let frame;

const all = (selector) => [...frame.contentDocument.querySelectorAll(selector)];
const one = (selector) => all(selector)[0] ?? fail(`the page has no ${selector}`);
const text = (selector) => one(selector).textContent.replace(/\s+/g, ' ').trim();
function fail(why) {
  throw new Error(why);
}

async function until(what, holds, seconds = 90) {
  const end = performance.now() + 1000 * seconds;
  while (!holds()) {
    if (performance.now() > end) fail(`${what}: not in ${seconds} s; ${text('main')}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

function watch(target, seen) {
  const observer = new MutationObserver(seen);
  observer.observe(target, { childList: true, characterData: true, subtree: true });
  return () => observer.disconnect();
}

/** What keeps people out, in the page's state of this name. */
async function check(state) {
  const { axe } = frame.contentWindow;
  const { violations: found, passes } = await axe.run(frame.contentDocument);
  const named = found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  barriers[state] = { found: named, passes: passes.length };
}

/** Opens the page anew and waits for its model; what it said meanwhile. */
async function open(search = '') {
  frame?.remove();
  const src = `/examples/browser/${search}`;
  frame = Object.assign(document.createElement('iframe'), { src, ...size });
  const loaded = new Promise((done) => (frame.onload = done));
  document.body.append(frame);
  await loaded;
  frame.contentDocument.addEventListener('securitypolicyviolation', (event) =>
    violations.push(`${event.violatedDirective} ${event.blockedURI}`),
  );
  const [progress, said] = [[], []];
  const ends = [
    watch(one('#load-text'), () => progress.push(text('#load-text'))),
    watch(one('#said'), () => said.push(text('#said'))),
  ];
  const script = frame.contentDocument.createElement('script');
  const ready = new Promise((done, failed) => {
    script.onload = done;
    script.onerror = () => failed(new Error('axe.js cannot be loaded'));
  });
  frame.contentDocument.head.append(Object.assign(script, { src: '/axe.js' }));
  await ready;
  await until('model', () => one('#model').dataset.state !== 'loading');
  const { state } = one('#model').dataset;
  if (state === 'ready') await until('cache', () => text('#cache-text').includes('ownloaded'));
  ends.forEach((end) => end());
  return { state, progress, said, facts: text('#facts'), cache: text('#cache-text') };
}

/** A red circle and a blue square on white, as a file of the frame. */
async function drawing(name) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 448, height: 448 });
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, 448, 448);
  context.fillStyle = '#d62231';
  context.arc(130, 140, 70, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = '#2850dc';
  context.fillRect(250, 240, 140, 140);
  const blob = await new Promise((done) => canvas.toBlob(done));
  return new frame.contentWindow.File([blob], name, { type: 'image/png' });
}

/** Ways in which a person gives a file to the page. */
const give = {
  pasted(files) {
    const { ClipboardEvent } = frame.contentWindow;
    const event = new ClipboardEvent('paste', { clipboardData: files, bubbles: true });
    // Firefox gives an event that is made up a clipboard of its own.
    if (event.clipboardData !== files)
      Object.defineProperty(event, 'clipboardData', { value: files });
    one('#question').dispatchEvent(event);
  },
  dropped(files) {
    const { DragEvent } = frame.contentWindow;
    const options = { dataTransfer: files, bubbles: true, cancelable: true };
    one('#frame').dispatchEvent(new DragEvent('dragover', options));
    const dragging = one('#frame').classList.contains('dragging');
    one('#frame').dispatchEvent(new DragEvent('drop', options));
    return dragging && !one('#frame').classList.contains('dragging');
  },
  chosen(files) {
    one('#file').files = files.files;
    one('#file').dispatchEvent(new Event('change', { bubbles: true }));
  },
};

/** What the page says after a file was given; `expected` is how that begins. */
async function given(how, file, expected, where = '#picture-text') {
  const files = new frame.contentWindow.DataTransfer();
  files.items.add(file);
  const worked = give[how](files);
  await until(`${how} picture`, () => text(where).startsWith(expected));
  return { text: text('#picture-text'), problem: text('#picture-problem'), worked };
}

/** Starts an answer by `start` and waits for its end; `atText`: what to do at its first text. */
async function answered(start, atText) {
  const lengths = [];
  const end = watch(one('#answer'), () => {
    const { length } = one('#answer').textContent;
    if (length > 0 && lengths.push(length) === 1) atText?.();
  });
  // The end of the answer before this one does not count.
  const states = [];
  const card = one('#answer-card');
  const observer = new MutationObserver(() => states.push(card.dataset.state));
  observer.observe(card, { attributeFilter: ['data-state'] });
  start();
  await until('answer', () => ['done', 'stopped', 'failed'].includes(states.at(-1)));
  // What came after a stop would be seen here.
  await new Promise((done) => setTimeout(done, 200));
  end();
  observer.disconnect();
  const { scrollWidth, clientWidth } = frame.contentDocument.documentElement;
  return {
    state: one('#answer-card').dataset.state,
    text: one('#answer').textContent,
    pieces: lengths.length,
    boxes: boxes(),
    list: all('#box-list li').map((item) => item.textContent),
    calls: text('#calls'),
    speed: text('#speed'),
    overflow: scrollWidth - clientWidth,
    said: text('#said'),
    stoppable: one('#stop').getAttribute('aria-disabled') === 'false',
  };
}

/** Each drawn box in parts of the picture as it is shown, edges included: [left, top, right, bottom]. */
function boxes() {
  const picture = one('#image').getBoundingClientRect();
  return all('#boxes .box').map((box) => {
    const { left, top, right, bottom } = box.getBoundingClientRect();
    const [width, height] = [picture.width, picture.height];
    return {
      label: box.textContent,
      at: [
        (left - picture.left) / width,
        (top - picture.top) / height,
        (right - picture.left) / width,
        (bottom - picture.top) / height,
      ],
    };
  });
}

/** Takes a picture of what the browser's made-up camera shows. */
async function film() {
  one('#camera').click();
  await until('camera', () => one('#preview').videoWidth > 0);
  const { id } = frame.contentDocument.activeElement;
  await check('camera');
  one('#camera-take').click();
  await until('its picture', () => text('#picture-text').startsWith('The camera'));
  return { focus: id, text: text('#picture-text'), problem: text('#picture-problem') };
}

const suggestion = (label) => () =>
  all('#suggestions button')
    .find((button) => button.textContent === label)
    .click();
function press(target, key) {
  const { KeyboardEvent } = frame.contentWindow;
  target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
}

async function visit() {
  const seen = { first: await open() };
  await check('ready');
  const { File } = frame.contentWindow;
  const broken = new File([new Uint8Array(9)], 'broken.png', { type: 'image/png' });
  const words = new File(['words'], 'words.txt', { type: 'text/plain' });
  seen.given = {
    chosen: await given('chosen', await drawing('chosen.png'), 'chosen.png'),
    broken: await given('chosen', broken, 'broken.png', '#picture-problem'),
    words: await given('dropped', words, 'What was dropped', '#picture-problem'),
    dropped: await given('dropped', await drawing('dropped.png'), 'dropped.png'),
    pasted: await given('pasted', await drawing('pasted.png'), 'The pasted picture'),
  };
  seen.found = await answered(suggestion('Find objects'));
  await check('boxes');
  seen.stopped = await answered(suggestion('Find objects'), () => one('#stop').click());
  seen.escaped = await answered(suggestion('Find objects'), () =>
    press(one('#question'), 'Escape'),
  );
  seen.again = await answered(() => press(one('#question'), 'Enter'));
  seen.described = await answered(suggestion('Describe'));
  seen.called = await answered(suggestion('Call a tool'));
  await check('tool call');
  seen.camera = await film();
  seen.second = await open();
  one('#forget').click();
  await until('removal', () => text('#said').startsWith('Removed'));
  seen.removed = { cache: text('#cache-text'), offered: !one('#forget').hidden };
  seen.missing = { ...(await open('?model=/nowhere/')), why: text('#load-text') };
  await check('model missing');
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  return { ...seen, violations, barriers, dark, isolated: self.crossOriginIsolated };
}

visit().then(
  (seen) => post('/result', JSON.stringify(seen)),
  (error) => post('/failure', `${error}\n${error.stack}`),
);
