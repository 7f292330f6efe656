// A function as a module with a default export.
const model = 'qwen-qwen25-vl-3b-instruct-awq';

export default {
  async fetch(request) {
    const options = await request.json();
    const answer = await Azion.AI.run(model, options);
    if (options.stream) return answer;
    return new Response(JSON.stringify(answer), {
      headers: { 'content-type': 'application/json' },
    });
  },
};
