// Owns visiting examples/browser as a person would: in a frame, by clicks, keys and a pasted picture; posts what was seen.
// Opened by page.test.ts, which gives the frame's { width, height } in the address. Surprise: the answer is stopped from a
// mutation observer, in the same task that shows its first text, since the embedded model writes a whole answer in less time
// than a timer takes.
const post = (path, text) => fetch(path, { method: 'POST', body: text });
const size = JSON.parse(decodeURIComponent(self.location.search.slice(1)));
const violations = [];
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

/** Opens the page anew and waits for its model; what it said meanwhile. */
async function open() {
  frame?.remove();
  frame = Object.assign(document.createElement('iframe'), { src: '/examples/browser/', ...size });
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
  await until('model', () => one('#model').dataset.state !== 'loading');
  await until('cache', () => text('#cache-text').includes('ownloaded'));
  ends.forEach((end) => end());
  const { state } = one('#model').dataset;
  return { state, progress, said, facts: text('#facts'), cache: text('#cache-text') };
}

/** A red circle and a blue square on white, pasted. */
async function paste() {
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
  const { DataTransfer, File, ClipboardEvent } = frame.contentWindow;
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([blob], 'drawn.png', { type: 'image/png' }));
  one('#question').dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
  await until('picture', () => text('#picture-text').startsWith('The pasted picture'));
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
  await paste();
  seen.found = await answered(suggestion('Find objects'));
  seen.stopped = await answered(suggestion('Find objects'), () => one('#stop').click());
  seen.escaped = await answered(suggestion('Find objects'), () =>
    press(one('#question'), 'Escape'),
  );
  seen.again = await answered(() => press(one('#question'), 'Enter'));
  seen.described = await answered(suggestion('Describe'));
  seen.called = await answered(suggestion('Call a tool'));
  seen.camera = await film();
  seen.second = await open();
  one('#forget').click();
  await until('removal', () => text('#said').startsWith('Removed'));
  seen.removed = { cache: text('#cache-text'), offered: !one('#forget').hidden };
  return { ...seen, violations, isolated: self.crossOriginIsolated };
}

visit().then(
  (seen) => post('/result', JSON.stringify(seen)),
  (error) => post('/failure', `${error}\n${error.stack}`),
);
