// The page of examples/browser, on the installed package, visited in real browsers (pages/visit.mjs): isolated, and as a plain
// static host serves it, dark and at a phone's width; and what serves it. Surprise: in the second case the page's own <meta> is
// the only policy.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { found, root, runtime } from './runtime.ts';

interface Opened {
  state: string;
  progress: string[];
  said: string[];
  facts: string;
  cache: string;
}
interface Answered {
  state: string;
  text: string;
  pieces: number;
  boxes: { label: string; at: number[] }[];
  list: string[];
  calls: string;
  speed: string;
  said: string;
  overflow: number;
  stoppable: boolean;
}
type Questions = 'found' | 'stopped' | 'escaped' | 'again' | 'described' | 'called';
type Seen = Record<Questions, Answered> & {
  first: Opened;
  second: Opened;
  removed: { cache: string; offered: boolean };
  given: Record<string, { text: string; problem: string; worked?: boolean }>;
  missing: Opened & { why: string };
  /** What axe found in each state, and how many of its rules passed. */
  barriers: Record<string, { found: string[]; passes: number }>;
  dark: boolean;
  camera: { focus: string; text: string; problem: string };
  violations: string[];
  isolated: boolean;
};
interface Browser {
  inBrowser(options: object): Promise<Seen>;
  isolation: Record<string, string>;
}
const { inBrowser, isolation } = (await import(
  join(root, 'tests/browser/browser.mjs') as string
)) as Browser;

const example = join(root, 'examples/browser');
const html = readFileSync(join(example, 'index.html'), 'utf8');
const policy = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/.exec(html)?.[1] ?? '';

/** Intersection over union of two boxes. */
function overlap(one: readonly number[], two: readonly number[]): number {
  const size = (box: readonly number[]): number =>
    Math.max(0, box[2]! - box[0]!) * Math.max(0, box[3]! - box[1]!);
  const [a, b] = [one, two];
  const common = [
    Math.max(a[0]!, b[0]!),
    Math.max(a[1]!, b[1]!),
    Math.min(a[2]!, b[2]!),
    Math.min(a[3]!, b[3]!),
  ];
  return size(common) / (size(a) + size(b) - size(common));
}

/** What visit.mjs draws, in parts of its picture. */
const drawn = {
  'red circle': [60, 70, 200, 210].map((at) => at / 448),
  'blue square': [250, 240, 390, 380].map((at) => at / 448),
};

/** What a browser needs for a camera that is made up, and for a page in the dark. */
const flags = {
  chromium: {
    camera: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
    dark: ['--blink-settings=preferredColorScheme=0'],
  },
  firefox: {
    camera: ['media.navigator.streams.fake=true', 'media.navigator.permission.disabled=true'],
    dark: ['layout.css.prefers-color-scheme.content-override=0'],
  },
};

describe.each(['chromium', 'firefox'] as const)('%s', (name) => {
  describe.each([
    {
      how: 'isolated',
      isolated: true,
      size: { width: 1100, height: 900 },
      threads: /Threads ?[2-8] ?Memory/,
    },
    {
      how: 'plain static host',
      isolated: false,
      size: { width: 360, height: 640 },
      threads: /Threads ?1 \(page not isolated\)/,
    },
  ])('$how', ({ isolated, size, threads }) => {
    const paths: string[] = [];
    let seen: Seen;

    beforeAll(async () => {
      const installed = join(found.project, 'node_modules/ocelli');
      seen = await inBrowser({
        ...{ browser: name, path: runtime(name).path, page: '/visit.html', minutes: 5 },
        options: size,
        flags: [...flags[name].camera, ...(isolated ? [] : flags[name].dark)],
        asked: (path: string) => void paths.push(path),
        roots: {
          '/examples/browser/': example,
          '/build/': join(installed, 'build'),
          '/models/demo/container/': join(installed, 'models/demo/container'),
          '/models/demo/examples/': join(root, 'models/demo/examples'),
          '/': join(import.meta.dirname, 'pages'),
        },
        overlay: {
          '/examples/browser/': join(example, 'index.html'),
          '/axe.js': join(root, 'node_modules/axe-core/axe.min.js'),
        },
        // The visitor needs a frame, which the page's own policy, in its <meta>, goes on forbidding to the page.
        with: isolated
          ? { ...isolation, 'Content-Security-Policy': `${policy}; frame-src 'self'` }
          : {},
      });
    });

    it('loads with its progress shown, under its policy', () => {
      expect(seen.isolated).toBe(isolated);
      expect(seen.first.state).toBe('ready');
      expect(seen.first.facts).toMatch(threads);
      expect(seen.first.facts).toMatch(isolated ? /Build ?mt-relaxed/ : /Build ?st-relaxed/);
      expect(seen.first.facts).toMatch(/Memory ?\d+ MiB/);
      expect(seen.first.progress).toContainEqual(expect.stringMatching(/ of 6\.6 MB · .*6 layers/));
      expect(seen.first.said.at(-1)).toMatch(/^The model is ready after/);
      expect(seen.violations).toEqual([]);
      expect(seen.dark).toBe(!isolated);
    });

    it.each(['ready', 'boxes', 'tool call', 'camera', 'model missing'])(
      'puts nothing in the way of anybody (%s)',
      (state) => {
        expect(seen.barriers[state]?.found).toEqual([]);
        expect(seen.barriers[state]?.passes).toBeGreaterThan(20);
      },
    );

    it('takes a picture that is chosen, dropped or pasted, and says what is none', () => {
      const size = ', 448 × 448 pixels';
      expect(seen.given).toMatchObject({
        chosen: { text: `chosen.png${size}`, problem: '' },
        broken: {
          text: `chosen.png${size}`,
          problem: 'broken.png (image/png) is no picture that this browser reads.',
        },
        words: { problem: 'What was dropped holds no picture file.' },
        dropped: { text: `dropped.png${size}`, problem: '', worked: true },
        pasted: { text: `The pasted picture${size}`, problem: '' },
      });
    });

    it('says why when its model cannot be had', () => {
      expect(seen.missing.state).toBe('failed');
      expect(seen.missing.why).toMatch(/nowhere.*404/);
      expect(seen.missing.said.at(-1)).toContain(seen.missing.why);
    });

    it('streams an answer and draws its boxes where things are', () => {
      const { state, pieces, text, boxes, list, said, speed } = seen.found;
      expect({ state, fence: text.slice(0, 7) }).toEqual({ state: 'done', fence: '```json' });
      expect(pieces).toBeGreaterThan(3);
      expect(boxes.map(({ label }) => label).sort()).toEqual(Object.keys(drawn).sort());
      for (const { label, at } of boxes)
        expect(overlap(at, drawn[label as keyof typeof drawn]), label).toBeGreaterThan(0.6);
      expect(seen.found.overflow, 'pixels that stick out to the right').toBe(0);
      expect(list.length).toBe(boxes.length);
      expect(said).toMatch(/^2 boxes: /);
      expect(speed).toMatch(/Answer ?\d+ tokens ?Speed ?\d+ tokens\/s/);
    });

    it.each(['stopped', 'escaped'] as const)('is %s at its first text', (how) => {
      const { state, text, stoppable } = seen[how];
      expect({ state, stoppable }).toEqual({ state: 'stopped', stoppable: false });
      expect(text.length).toBeGreaterThan(0);
      expect(text.length).toBeLessThan(seen.found.text.length / 2);
      expect(seen.found.text.startsWith(text)).toBe(true);
    });

    it('answers the same after a stop, asked by the keyboard', () => {
      expect(seen.again.text).toBe(seen.found.text);
      expect(seen.again.state).toBe('done');
    });

    it('takes the boxes away for an answer without any', () => {
      expect(seen.described.text).toMatch(/^The image shows .*red circle.* white background\.$/);
      expect({ boxes: seen.described.boxes, list: seen.described.list }).toEqual({
        boxes: [],
        list: [],
      });
      expect(seen.described.said).toBe(seen.described.text);
    });

    it('shows a tool call', () => {
      expect(seen.called.calls).toBe(
        'The model calls a tool: get_weather({"location": "Jakarta"})',
      );
      expect(seen.called.text).toBe('');
    });

    it('takes a picture with the camera', () => {
      expect(seen.camera).toEqual({
        focus: 'camera-take',
        text: expect.stringMatching(/^The camera’s picture, \d+ × \d+ pixels$/) as string,
        problem: '',
      });
    });

    it('keeps the download for the second visit, until told to remove it', () => {
      expect(seen.first.cache).toMatch(/^6\.6 MB downloaded\. 6\.6 MB kept in /);
      expect(seen.second.cache).toMatch(/^Nothing was downloaded this time\. 6\.6 MB kept in /);
      expect(paths.filter((path) => path.endsWith('.safetensors')).length).toBe(1);
      expect(seen.removed).toEqual({ cache: 'Not kept in this browser yet.', offered: false });
    });
  });
});

describe('npm run page', () => {
  it.each([
    ['isolated', []],
    ['plain', ['--plain']],
  ])('serves the page %s, and nothing else of the clone', async (how, words) => {
    const child = spawn(process.execPath, [join(example, 'serve.mjs'), '0', ...words]);
    try {
      const origin = await new Promise<string>((resolve, reject) => {
        child.stdout.on('data', (line: Buffer) => resolve(String(line).trim()));
        child.on('close', (code) => reject(new Error(`it ended with ${code}`)));
      });
      const page = await fetch(origin);
      expect(page.url).toBe(`${origin}examples/browser/`);
      expect(await page.text()).toBe(html);
      const sent = page.headers.get('content-security-policy');
      if (how === 'plain') expect(sent).toBeNull();
      else expect(sent).toBe(`${policy}; frame-ancestors 'self'`);
      expect(page.headers.get('cross-origin-embedder-policy')).toBe(
        how === 'plain' ? null : 'require-corp',
      );
      for (const path of ['package.json', 'build/js/../../package.json', '.git/HEAD', 'build/js/'])
        expect((await fetch(origin + path)).status, path).toBe(404);
    } finally {
      child.kill();
    }
  });
});
