// Owns finding the parts of index.html, and what screen readers are told. Called by every other file. Surprise: streamed text
// is no live region, since it would be read in splinters; what matters is said here in whole sentences.

/** The element with this id; an error that names it when there is none. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found;
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Has a screen reader say this when it is done with what it is saying. */
export function say(text) {
  byId('said').textContent = text;
}
