// Owns how numbers look on the page. Called by model.js and answer.js. Surprise: memory is told in MiB, as the core plans it,
// and downloads in MB, as networks count them.

/** Bytes of a download: 6.6 MB. */
export function megabytes(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/** Bytes of memory: 107 MiB. */
export function mebibytes(bytes) {
  const gibibytes = bytes / 2 ** 30;
  return gibibytes >= 1 ? `${gibibytes.toFixed(2)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** How long something still takes: 12 s, 3 min. */
export function timeLeft(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** Makes `list` (a dl) show these [term, value] pairs. */
export function describe(list, pairs) {
  const rows = pairs.map(([term, value]) => {
    const row = document.createElement('div');
    for (const [tag, text] of [
      ['dt', term],
      ['dd', value],
    ]) {
      row.append(Object.assign(document.createElement(tag), { textContent: text }));
    }
    return row;
  });
  list.replaceChildren(...rows);
  list.hidden = rows.length === 0;
}
