// Owns the boxes of an answer: reads them from the model's JSON, also while it is still being written, and draws them over
// the picture. Called by answer.js. Surprise: the model counts pixels of the picture as it was resized for it, which the
// event "prompt" tells as a grid of 14 x 14 patches; so boxes are placed in parts of that frame.
import { byId, make } from './places.js';

const patch = 14;
const colours = 6; // as many as picture.css has classes

/** Width and height of the picture as the model sees it; `image` is one of the event's images. */
export function frameOf({ grid: [, rows, columns] }) {
  return { width: patch * columns, height: patch * rows };
}

/** The boxes in `text` so far: [{ box: [x1, y1, x2, y2], label }], in `frame`. What is no box is left out. */
export function boxesIn(text, { width, height }) {
  const found = [];
  for (const [object] of text.matchAll(/\{[^{}]*\}/g)) {
    let parsed;
    try {
      parsed = JSON.parse(object);
    } catch {
      continue;
    }
    const box = parsed.bbox_2d;
    if (!Array.isArray(box) || box.length !== 4 || !box.every(Number.isFinite)) continue;
    const [x1, y1, x2, y2] = box.map((at, axis) => clamp(at, axis % 2 === 0 ? width : height));
    if (x2 <= x1 || y2 <= y1) continue;
    found.push({ box: [x1, y1, x2, y2], label: String(parsed.label ?? 'something') });
  }
  return found;
}

const clamp = (at, most) => Math.min(Math.max(at, 0), most);

/** Draws `boxes` and lists them; only those that are not there yet, so that none flickers. */
export function showBoxes(boxes, { width, height }) {
  const [drawn, list] = [byId('boxes'), byId('box-list')];
  for (let index = drawn.children.length; index < boxes.length; index++) {
    const { box, label } = boxes[index];
    const [x1, y1, x2, y2] = box;
    const name = `box colour-${index % colours}`;
    const square = make('div', { className: name }, make('span', { textContent: label }));
    Object.assign(square.style, {
      left: `${(100 * x1) / width}%`,
      top: `${(100 * y1) / height}%`,
      width: `${(100 * (x2 - x1)) / width}%`,
      height: `${(100 * (y2 - y1)) / height}%`,
    });
    // Near the upper edge its name goes inside.
    square.classList.toggle('high', y1 < 0.1 * height);
    drawn.append(square);
    const at = box.map((number) => Math.round(number)).join(', ');
    const small = make('span', { className: 'at', textContent: at });
    const row = make('li', { className: `colour-${index % colours}` }, label, ' ', small);
    row.addEventListener('pointerenter', () => square.classList.add('lit'));
    row.addEventListener('pointerleave', () => square.classList.remove('lit'));
    list.append(row);
  }
  list.hidden = boxes.length === 0;
}

export function clearBoxes() {
  byId('boxes').replaceChildren();
  byId('box-list').replaceChildren();
  byId('box-list').hidden = true;
}
