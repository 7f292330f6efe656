// The smallest program: the embedded demo model looks at an image; its answer comes token by token.
import { run } from 'ocelli';

const image =
  process.argv[2] ?? new URL('../../models/demo/examples/street.png', import.meta.url).href;

const stream = await run(null, {
  stream: true,
  messages: [
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url: image } },
        { type: 'text', text: 'Describe this image.' },
      ],
    },
  ],
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
console.log();
