// A function of the firewall: the model decides who gets through.
addEventListener('firewall', (event) => event.waitUntil(decide(event)));

async function decide(event) {
  const { messages } = await event.request.json();
  const answer = await Azion.AI.run(null, { messages, temperature: 0, max_tokens: 40 });
  if (answer.choices[0].message.content.includes('Paris')) event.continue();
  else event.deny();
}
