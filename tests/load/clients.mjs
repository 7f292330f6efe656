// Owns what a client does: THE table of requests, good and bad, with how often each is made. Used by load.mjs. Surprise: a
// client knows what it may be told, and says what is wrong with anything else; a server that dies under it is no excuse
// unless it was killed (load.mjs decides).
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { root } from '../../tools/setup/io.mjs';
import { ask, raw } from './http.mjs';
import { completed, refused, streamed, told } from './verdicts.mjs';

const files = ['street.png', 'shapes.png', 'sign.png', 'stars.png'].map((name) =>
  readFileSync(join(root, 'models/demo/examples', name)),
);
const dataUrl = (bytes) => `data:image/png;base64,${bytes.toString('base64')}`;
const pictures = files.map(dataUrl);
/** One that the server has not seen: what follows a PNG's end is no part of the picture, but of the file. */
const newPicture = ({ pick }) => dataUrl(Buffer.concat([pick(files), randomBytes(8)]));
const weather = JSON.parse(readFileSync(join(root, 'models/demo/weather_tool.json'), 'utf8'));
const model = 'qwen-qwen25-vl-3b-instruct-awq';

const bearer = (key) => ({ authorization: `Bearer ${key}` });
/** When to leave: mostly never. */
const leaving = ({ chance, below }) =>
  chance(0.75) ? undefined : chance(0.5) ? { ms: below(300) } : { bytes: below(3000) };

/** A chat that the server answers. */
function chatBody(random) {
  const { pick, below, chance } = random;
  const texts = [
    'What is the capital of France?',
    'Who are you?',
    'Hello!',
    'Name the European capitals',
  ];
  const content = chance(0.3)
    ? [
        { type: 'image_url', image_url: { url: pick(pictures) } },
        { type: 'text', text: 'Describe this image.' },
      ]
    : pick(texts);
  const schema = { type: 'object', properties: { name: { type: 'string', maxLength: 8 } } };
  return {
    model: pick([model, null, 'Qwen/Qwen2.5-VL-3B-Instruct']),
    messages: [{ role: 'user', content }],
    max_tokens: 1 + below(32),
    ...pick([
      {},
      {},
      { temperature: 0 },
      { n: 2, temperature: 1 },
      { logprobs: true, top_logprobs: 2 },
      { tools: [weather] },
      { response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } },
      { stop: ['a'] },
      { ignore_eos: true },
    ]),
  };
}

async function chat({ url, random }) {
  const { pick, chance } = random;
  const key = pick(['sk-open', 'gr-open']);
  const stream = chance(0.5);
  const answer = await ask(url + pick(['/v1/chat/completions', '/chat/completions']), {
    headers: bearer(key),
    body: JSON.stringify({ ...chatBody(random), stream }),
    leave: leaving(random),
  });
  if (answer.left) return null;
  if (answer.status === 200) return stream ? streamed(answer) : completed(answer);
  return refused(key === 'gr-open' ? 'gigarouter' : 'vllm', answer, [429]);
}

async function segmind({ url, random }) {
  const { pick, chance } = random;
  const stream = chance(0.3);
  const headers = pick([bearer('SG_open'), { 'x-api-key': 'SG_open' }]);
  const body = JSON.stringify({ ...chatBody(random), stream });
  const answer = await ask(`${url}/v1/qwen2p5-vl-3b-instruct`, {
    ...{ headers, body, leave: leaving(random) },
  });
  if (answer.left) return null;
  if (answer.status === 200) return stream ? streamed(answer) : completed(answer);
  return refused('segmind', answer, [429]);
}

const captionTask = (random, more = {}) => ({
  ...{
    taskType: random.pick(['caption', 'imageCaption']),
    taskUUID: randomUUID(),
    model: 'runware:152@1',
  },
  ...{ prompt: random.pick(['Describe this image.', 'How many stars are there?']) },
  ...{ inputs: { image: newPicture(random) }, ...more },
});
const post = (url, tasks, more = {}) =>
  ask(`${url}/v1`, { headers: bearer('rw-open'), body: JSON.stringify(tasks), ...more });

/** Tasks at once, of which one may be wrong. */
async function captions({ url, random }) {
  const good = Array.from({ length: 1 + random.below(3) }, () => captionTask(random));
  const bad = random.chance(0.3) ? [captionTask(random, { inputs: { image: 'data:,no' } })] : [];
  const tasks = [...good, ...bad];
  const answer = await post(url, tasks, { leave: leaving(random) });
  return answer.left ? null : told(answer, tasks, ['rateLimitExceeded', 'invalidImage']);
}

/** A task for later: whoever accepts it has to finish it. Those who have accepted too many say so. */
async function later({ url, random, accepted, hooks }) {
  const wants = random.chance(0.3)
    ? { webhookURL: `${hooks.url}/${random.chance(0.3) ? 'late' : 'now'}` }
    : { deliveryMethod: 'async' };
  const task = captionTask(random, wants);
  const answer = await post(url, [task]);
  const wrong = told(answer, [task], ['rateLimitExceeded']);
  if (wrong || JSON.parse(answer.text).errors) return wrong;
  accepted.set(task.taskUUID, task);
  if (!random.chance(0.2)) return null;
  return told(await post(url, [task]), [task]);
}

/** Asks for a task of anybody's. */
async function poll({ url, random, accepted }) {
  if (accepted.size === 0) return null;
  const taskUUID = random.pick([...accepted.keys()]);
  const answer = await post(url, [{ taskType: 'getResponse', taskUUID }]);
  const wrong = told(answer, [{ taskUUID }]);
  const [{ status } = {}] = wrong ? [] : JSON.parse(answer.text).data;
  return wrong ?? (['processing', 'success'].includes(status) ? null : `a task that is ${status}`);
}

async function upload({ url, random }) {
  const task = { taskType: 'imageUpload', taskUUID: randomUUID(), image: random.pick(pictures) };
  const answer = await post(url, [task]);
  const wrong = told(answer, [task]);
  if (wrong) return wrong;
  const [{ imageUUID }] = JSON.parse(answer.text).data;
  const next = captionTask(random, { inputs: { image: imageUUID } });
  return told(await post(url, [next]), [next], ['rateLimitExceeded']);
}

/** A socket: some tasks, their replies, or gone before; then the session goes on. */
async function socket({ url, random, accepted }) {
  const wait = new Map();
  const replies = [];
  const open = (session) =>
    new Promise((resolve, reject) => {
      const line = new WebSocket(`${url.replace('http', 'ws')}/v1`);
      const auth = { taskType: 'authentication', apiKey: 'rw-open', ...session };
      line.on('open', () => line.send(JSON.stringify([auth])));
      line.on('error', reject);
      line.on('close', (code) => reject(new Error(`the socket was closed: ${code}`)));
      line.on('message', (bytes) => {
        const { data = [], errors = [] } = JSON.parse(bytes.toString());
        for (const one of [...data, ...errors]) {
          if (one.connectionSessionUUID)
            resolve({ line, session: { connectionSessionUUID: one.connectionSessionUUID } });
          replies.push(one);
          wait.get(one.taskUUID)?.(one);
        }
      });
    });
  const first = await open({});
  const tasks = Array.from({ length: 1 + random.below(2) }, () =>
    captionTask(random, random.chance(0.3) ? { deliveryMethod: 'async' } : {}),
  );
  const done = tasks.map(({ taskUUID }) => new Promise((resolve) => wait.set(taskUUID, resolve)));
  first.line.send(JSON.stringify([{ taskType: 'ping', ping: true }, ...tasks]));
  let { line } = first;
  if (random.chance(0.4)) {
    await new Promise((resolve) => setTimeout(resolve, random.below(100)));
    line.terminate();
    if (random.chance(0.5)) return null; // for good; nobody waits for its tasks
    ({ line } = await open(first.session));
    // Sent at the very end, frames may not have arrived; the same tasks are taken once.
    line.send(JSON.stringify(tasks));
  }
  const gone = new Promise((_, reject) =>
    line.on('close', () => reject(new Error('the socket was closed'))),
  );
  gone.catch(() => undefined);
  const told = await Promise.race([Promise.all(done), gone]);
  line.terminate();
  for (const [i, reply] of told.entries()) {
    const { deliveryMethod, taskUUID } = tasks[i];
    if (reply.code) {
      if (reply.code !== 'rateLimitExceeded') return `an error of ${JSON.stringify(reply)}`;
    } else if (deliveryMethod) accepted.set(taskUUID, tasks[i]);
    else if (typeof reply.text !== 'string') return `a caption of ${JSON.stringify(reply)}`;
  }
  return null;
}

const big = ' '.repeat((1 << 20) + 5000);
/** [path, dialect, key, body, statuses, more] */
const wrongs = [
  ['/v1/chat/completions', 'vllm', 'sk-open', '{"messages":', [400]],
  ['/v1/chat/completions', 'vllm', 'sk-open', '[]', [400, 429]],
  ['/v1/chat/completions', 'vllm', 'sk-open', '\xff\xfe', [400]],
  ['/v1/chat/completions', 'vllm', 'sk-open', '{"messages":[],"n":0}', [400, 429]],
  [
    '/v1/chat/completions',
    'vllm',
    'sk-open',
    '{"messages":[{"role":"user","content":"hi"}],"temperature":-1}',
    [400, 429],
  ],
  [
    '/v1/chat/completions',
    'vllm',
    'sk-open',
    '{"model":"no","messages":[{"role":"user","content":"hi"}]}',
    [404, 429],
  ],
  ['/v1/chat/completions', 'vllm', 'sk-open', 'hello', [415], { 'content-type': 'text/plain' }],
  ['/v1/chat/completions', 'vllm', 'sk-open', big, [413]],
  ['/v1/chat/completions', 'gigarouter', 'gr-open', big, [413], { 'transfer-encoding': 'chunked' }],
  ['/v1/chat/completions', 'vllm', 'sk-wrong', '{}', [401]],
  ['/v1/chat/completions', 'gigarouter', 'gr-wrong', '{}', [401]],
  ['/v1/chat/completions', 'gigarouter', 'gr-open', '{"messages":7}', [400, 429]],
  ['/v1/nothing', 'vllm', 'sk-open', '{}', [404]],
  ['/v1/models', 'vllm', 'sk-open', '{}', [405]],
  ['/v1/qwen2p5-vl-3b-instruct', 'segmind', 'SG_wrong', '{}', [401]],
  ['/v1/qwen2p5-vl-3b-instruct', 'segmind', 'SG_open', '{}', [400, 429]],
  ['/v1/qwen2p5-vl-3b-instruct', 'segmind', 'SG_open', big, [400]],
  ['/v1/qwen9', 'segmind', 'SG_open', '{}', [404]],
  ['/v1', 'runware', 'wrong', '[{"taskType":"ping"}]', [401]],
  ['/v1', 'runware', 'rw-open', '{}', [400]],
  ['/v1', 'runware', 'rw-open', '[{"taskType":"no"}]', [400]],
  ['/v1', 'runware', 'rw-open', '[{"taskType":"caption","taskUUID":"7"}]', [400]],
  ['/v1', 'runware', 'rw-open', big, [400]],
  ['/tokenize', 'vllm', 'sk-open', '{"prompt":7}', [400]],
  ['/detokenize', 'vllm', 'sk-open', '{"tokens":[-1]}', [400]],
];
async function wrong({ url, random }) {
  const [path, dialect, key, body, statuses, more] = random.pick(wrongs);
  const bytes = Buffer.from(body, 'latin1');
  const length = more?.['transfer-encoding'] ? {} : { 'content-length': bytes.length };
  const headers = { ...bearer(key), ...length, ...more };
  const fault = refused(dialect, await ask(url + path, { headers, body: bytes }), statuses);
  return fault && `${path} ${body.slice(0, 40).trim()}: ${fault}`;
}

/** Text completions, as chats. */
async function completion({ url, random }) {
  const { below, chance, pick } = random;
  const stream = chance(0.4);
  const body = JSON.stringify({
    prompt: pick(['Once', ['The image', 'I am'], [5, 6, 7]]),
    ...{ stream, max_tokens: 1 + below(16), echo: chance(0.3) },
  });
  const headers = bearer('sk-open');
  const answer = await ask(`${url}/v1/completions`, { headers, body, leave: leaving(random) });
  if (answer.left) return null;
  if (answer.status !== 200) return refused('vllm', answer, [429]);
  return (stream ? streamed : completed)(answer, 'text_completion');
}

/** Keys with a rate or few credits: answered, or told. */
async function poor({ url, random }) {
  const key = random.pick(['sk-rate', 'SG_rate', 'gr-poor', 'SG_poor']);
  const dialect = { sk: 'vllm', gr: 'gigarouter', SG: 'segmind' }[key.slice(0, 2)];
  const path = dialect === 'segmind' ? '/v1/qwen2p5-vl-3b-instruct' : '/v1/chat/completions';
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 });
  const answer = await ask(url + path, { headers: bearer(key), body });
  if (answer.status === 200) return completed(answer);
  const statuses = key.endsWith('rate') ? [429] : [429, dialect === 'segmind' ? 406 : 402];
  return refused(dialect, answer, statuses);
}

/** What is no request: the server closes, or says 400; it goes on for others. */
async function rubbish({ url, random }) {
  const { below, pick } = random;
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-open\r\n`;
  const json = 'content-type: application/json\r\n';
  const sent = pick([
    '',
    'GET',
    '\0\x01\x02\r\n\r\n',
    `${head}content-length: 900\r\n${json}\r\n{"messages":[`,
    `${head}transfer-encoding: chunked\r\n${json}\r\nfff\r\n{"mess`,
    `${head}transfer-encoding: chunked\r\n${json}\r\nzzz\r\n`,
    `${head}content-length: -1\r\n${json}\r\n{}`,
    'GET /v1 HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    'GET /no HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
  ]);
  const text = await raw(url, sent, 50 + below(400));
  return text === '' || /^HTTP\/1\.1 4\d\d /.test(text) ? null : `rubbish was told ${text}`;
}

async function others({ url, random }) {
  const [path, method, body] = random.pick([
    ['/v1/models', 'GET'],
    [`/v1/models/${model}`, 'GET'],
    ['/health', 'GET'],
    ['/ping', 'POST'],
    ['/version', 'GET'],
    ['/load', 'GET'],
    ['/metrics', 'GET'],
    ['/openapi.json', 'GET'],
    ['/docs', 'GET'],
    ['/tokenize', 'POST', { prompt: 'one two' }],
    ['/tokenize', 'POST', { messages: [{ role: 'user', content: 'Hi' }] }],
    ['/detokenize', 'POST', { tokens: [1, 2, 3] }],
  ]);
  const answer = await ask(url + path, {
    ...{ method, headers: bearer('sk-open') },
    ...(body && { body: JSON.stringify(body) }),
  });
  if (answer.status === 200) return null;
  return path === '/tokenize' ? refused('vllm', answer, [429]) : `${path} gave ${answer.status}`;
}

/** what a client does -> how often, of all weights together */
export const acts = new Map([
  [chat, 30],
  [segmind, 8],
  [completion, 8],
  [captions, 8],
  [later, 6],
  [poll, 8],
  [upload, 3],
  [socket, 8],
  [wrong, 15],
  [poor, 5],
  [rubbish, 5],
  [others, 8],
]);
