// Owns the SVG chart of the comparison: one bar a row, ocelli over peer, least to greatest as a line. Called by peers.mjs.
// Surprise: the axis is logarithmic, since ratios go from a half to a hundred, and bars begin at 1, where both are equal.
import { short } from '../figures.mjs';
import { titleOf } from './ratios.mjs';

const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** Powers of two or ten around the ratios, 1 among them. */
export function ticksOf(rows) {
  const values = rows.flatMap(({ ratio }) => [ratio.min, ratio.max]);
  const least = Math.min(1, ...values);
  const most = Math.max(1, ...values);
  const steps = [1 / 100, 1 / 50, 1 / 20, 1 / 10, 1 / 5, 1 / 2, 1, 2, 5, 10, 20, 50, 100, 200, 500];
  const from = steps.findLastIndex((step) => step <= least);
  const to = steps.findIndex((step) => step >= most);
  const first = Math.max(0, Math.min(from < 0 ? 0 : from, steps.indexOf(1) - 1));
  const last = to < 0 ? steps.length - 1 : Math.max(to, steps.indexOf(1) + 1);
  return steps.slice(first, last + 1);
}

const layout = { left: 430, width: 420, top: 64, row: 22, right: 90 };
const colours = ['#2a6f97', '#e07a5f', '#6a994e', '#9c6ade'];

/** The chart as a text. `caption` names the machine, a line for each part before a semicolon. */
export function chart(results, caption) {
  const rows = results.compared;
  const { left, width, top, row, right } = layout;
  const ticks = ticksOf(rows);
  const [low, high] = [Math.log(ticks[0]), Math.log(ticks.at(-1))];
  const clamp = (value) => Math.min(Math.max(value, ticks[0]), ticks.at(-1));
  const x = (value) => left + (width * (Math.log(clamp(value)) - low)) / (high - low);
  const tiers = [...new Set(rows.map(({ tier }) => tier))];
  const height = top + row * rows.length + 66;
  const parts = [];
  const put = (what, attributes, text) => {
    const named = Object.entries(attributes).map(([name, value]) => {
      const shown = typeof value === 'number' ? Number(value.toFixed(1)) : escape(value);
      return ` ${name}="${shown}"`;
    });
    parts.push(
      `<${what}${named.join('')}${text === undefined ? '/>' : `>${escape(text)}</${what}>`}`,
    );
  };
  put('rect', { width: '100%', height: '100%', fill: '#ffffff' });
  put(
    'text',
    { x: 12, y: 22, 'font-size': 15 },
    'ocelli against its peers: how many times as fast',
  );
  tiers.forEach((tier, i) => {
    const at = left + 110 * i;
    put('rect', { x: at, y: 32, width: 12, height: 12, fill: colours[i % colours.length] });
    put('text', { x: at + 16, y: 42 }, `ocelli ${tier}`);
  });
  for (const tick of ticks) {
    const stroke = tick === 1 ? '#222222' : '#dddddd';
    put('line', { x1: x(tick), x2: x(tick), y1: top - 8, y2: height - 62, stroke });
    const label = tick < 1 ? `1/${Math.round(1 / tick)}` : String(tick);
    put('text', { x: x(tick), y: height - 46, 'text-anchor': 'middle' }, label);
  }
  rows.forEach((one, i) => {
    const middle = top + row * i + row / 2;
    const peer = results.peers.find(({ name }) => name === one.peer);
    const threads = `${one.threads} thread${one.threads === 1 ? '' : 's'}`;
    const label = `${one.peer}: ${titleOf(one.what, peer.sizes)}, ${threads}`;
    put('text', { x: left - 8, y: middle + 4, 'text-anchor': 'end' }, label);
    const [from, to] = [x(1), x(one.ratio.median)].sort((a, b) => a - b);
    const fill = colours[tiers.indexOf(one.tier) % colours.length];
    put('rect', { x: from, y: middle - 6, width: Math.max(1, to - from), height: 12, fill });
    const whisker = { y1: middle, y2: middle, stroke: '#222222' };
    put('line', { x1: x(one.ratio.min), x2: x(one.ratio.max), ...whisker });
    const beyond = Math.max(to, x(one.ratio.max), x(1)) + 6;
    put('text', { x: beyond, y: middle + 4 }, `${short(one.ratio.median)}x`);
  });
  const small = { x: 12, 'font-size': 10, fill: '#666666' };
  caption
    .split('; ')
    .forEach((part, i) => put('text', { ...small, y: height - 20 + 13 * i }, part));
  const size = `width="${left + width + right}" height="${height}"`;
  const font = 'font-family="sans-serif" font-size="12"';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font}>\n${parts.join('\n')}\n</svg>\n`;
}
