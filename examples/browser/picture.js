// Owns the picture that is asked about: an example, a file, dropped, pasted or from the camera. Called by page.js. Surprise:
// formats that only browsers read (AVIF, SVG ...) are drawn to a PNG first; the others go to the model byte for byte.
import { byId, make, say } from './places.js';

const core = ['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/bmp'];
const examples = new URL('../../models/demo/examples/', import.meta.url);
const known = [
  ['street.png', 'A house, a tree and a car, drawn'],
  ['shapes.png', 'Four drawn shapes'],
  ['sign.png', 'A sign with words'],
  ['stars.png', 'Drawn stars'],
];

/** Sets the sources up. `changed` is called when there is another picture. */
export function setUpPicture(changed) {
  let blob = null;
  let turn = 0;
  let showing = null;

  /** Shows `file`; a question that is asked meanwhile waits for it. */
  function show(file, name) {
    showing = read(file, name);
    return showing;
  }

  async function read(file, name) {
    const mine = ++turn;
    byId('picture-problem').textContent = '';
    const url = URL.createObjectURL(file);
    const image = byId('image');
    try {
      const probe = make('img', { src: url });
      await probe.decode();
      const bytes = core.includes(file.type) ? file : await asPng(probe);
      if (mine !== turn) return;
      blob = bytes;
      if (image.src) URL.revokeObjectURL(image.src);
      image.src = url;
      image.alt = name;
      const ratio = probe.naturalWidth / probe.naturalHeight;
      byId('frame').style.setProperty('--ratio', String(ratio));
      byId('picture-text').textContent =
        `${name}, ${probe.naturalWidth} × ${probe.naturalHeight} pixels`;
      for (const button of byId('examples').children)
        button.setAttribute('aria-pressed', String(button.dataset.name === name));
      changed();
      say(`Picture: ${name}`);
    } catch {
      URL.revokeObjectURL(url);
      if (mine !== turn) return;
      byId('picture-problem').textContent =
        `${name} (${file.type || 'of unknown type'}) is no picture that this browser reads.`;
    }
  }

  async function showExample(name, title) {
    const response = await fetch(new URL(name, examples));
    if (response.ok) return await show(await response.blob(), title);
    byId('picture-problem').textContent = `${name}: HTTP status ${response.status}`;
  }

  for (const [name, title] of known) {
    const thumbnail = make('img', { src: new URL(name, examples).href, alt: title });
    const button = make('button', { type: 'button', className: 'thumbnail' }, thumbnail);
    button.dataset.name = title;
    button.addEventListener('click', () => showExample(name, title));
    byId('examples').append(button);
  }
  setUpFile(show);
  setUpDrop(show);
  document.addEventListener('paste', (event) => {
    const file = imageIn(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    void show(file, 'The pasted picture');
  });
  void showExample(...known[0]);

  return {
    show,
    /** The bytes of the picture, or null while there is none. */
    async bytes() {
      await showing;
      return blob ? new Uint8Array(await blob.arrayBuffer()) : null;
    },
  };
}

function setUpFile(show) {
  byId('choose').addEventListener('click', () => byId('file').click());
  byId('file').addEventListener('change', ({ target }) => {
    if (target.files[0]) void show(target.files[0], target.files[0].name);
    target.value = ''; // so that the same file can be chosen again
  });
}

function setUpDrop(show) {
  const frame = byId('frame');
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    frame.classList.add('dragging');
  });
  document.addEventListener('dragleave', ({ relatedTarget }) => {
    if (!relatedTarget) frame.classList.remove('dragging');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    frame.classList.remove('dragging');
    const file = imageIn(event.dataTransfer);
    if (file) void show(file, file.name);
    else byId('picture-problem').textContent = 'What was dropped holds no picture file.';
  });
}

/** The first file of a drop or a paste that may be a picture. */
function imageIn(transfer) {
  return [...(transfer?.files ?? [])].find(({ type }) => type === '' || type.startsWith('image/'));
}

async function asPng(image) {
  const canvas = make('canvas', { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext('2d').drawImage(image, 0, 0);
  return await pngOf(canvas);
}

export function pngOf(canvas) {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('no PNG was made')))),
  );
}
