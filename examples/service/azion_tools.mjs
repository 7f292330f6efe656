// Azion's own example of tools: London's weather, with the round trip that it leaves out: the call, its result, the answer.
// The code is the platform's; only installAzion() is ours, and names the server that answers.
import { installAzion } from 'ocelli/azion';

const address = process.argv[2] ?? process.env.OCELLI_SERVER ?? 'http://127.0.0.1:8000';
const apiKey = process.env.OCELLI_KEY;
installAzion({ engine: 'remote', remote: { url: `${address}/v1`, ...(apiKey && { apiKey }) } });

const model = 'qwen-qwen25-vl-3b-instruct-awq';
const messages = [
  { role: 'system', content: 'You are a helpful assistant with access to tools.' },
  { role: 'user', content: 'What is the weather in London?' },
];
const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'Get the current weather for a location',
      parameters: {
        type: 'object',
        properties: { location: { type: 'string', description: 'The city and state' } },
        required: ['location'],
      },
    },
  },
];

const first = await Azion.AI.run(model, { stream: false, messages, tools });
console.log(JSON.stringify(first));

const { message } = first.choices[0];
const results = message.tool_calls.map(({ id, function: { arguments: given } }) => ({
  role: 'tool',
  tool_call_id: id,
  content: JSON.stringify({ ...JSON.parse(given), celsius: 15 }),
}));
const second = await Azion.AI.run(model, {
  stream: false,
  messages: [...messages, message, ...results],
  tools,
});
console.log(JSON.stringify(second));
