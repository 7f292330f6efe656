// A function in the style of service workers.
addEventListener('fetch', (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const answer = await Azion.AI.run('qwen-qwen25-vl-3b-instruct-awq', await request.json());
  return answer instanceof Response ? answer : Response.json(answer);
}
