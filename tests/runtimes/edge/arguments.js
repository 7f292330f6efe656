// A function whose model is an argument of the deployment.
addEventListener('fetch', (event) => event.respondWith(handle(event.request, event.args)));

async function handle(request, args) {
  const options = await request.json();
  return Azion.AI.run(args.model, options).then(
    (answer) => (options.stream ? answer : Response.json(answer)),
    (error) =>
      Response.json({ name: error.name, message: error.message }, { status: error.status }),
  );
}
