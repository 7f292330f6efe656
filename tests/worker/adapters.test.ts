// LoRA adapters over HTTP: only where the server was told so, in vLLM's words, and in the list of models.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { chat, fakeWorker, hello } from './fake_worker.ts';

const folder = mkdtempSync(join(tmpdir(), 'ocelli-adapter-'));
writeFileSync(join(folder, 'adapter_config.json'), '{}');
writeFileSync(join(folder, 'adapter_model.safetensors'), 'tensors');
afterAll(() => rmSync(folder, { recursive: true }));

const load = '/v1/load_lora_adapter';
const unload = '/v1/unload_lora_adapter';

it('has no such routes unless it was told so', async () => {
  const worker = fakeWorker();
  for (const path of [load, unload])
    expect((await worker.post(path, { lora_name: 'a', lora_path: folder })).status).toBe(404);
});

it('loads, lists, uses and unloads one', async () => {
  const worker = fakeWorker({ runtimeAdapters: true });
  const named = { lora_name: 'mine', lora_path: folder };
  const loaded = await worker.post(load, named);
  expect(await loaded.text()).toBe("Success: LoRA adapter 'mine' added successfully.");
  const { data } = (await (await worker.get('/v1/models')).json()) as { data: object[] };
  const card = { id: 'mine', root: folder, parent: 'fake-model', max_model_len: null };
  expect(data).toMatchObject([{ id: 'fake-model', parent: null }, card]);
  expect(await (await worker.get('/v1/models/mine')).json()).toMatchObject(card);
  const answer = await worker.post(chat, { ...hello, model: 'mine' });
  expect(await answer.json()).toMatchObject({ model: 'mine' });
  expect(JSON.parse(worker.core.opened.at(-1) ?? '')).toMatchObject({ adapter: 'mine' });
  await worker.post(chat, { ...hello, adapter: 'mine' });
  expect(JSON.parse(worker.core.opened.at(-1) ?? '')).not.toHaveProperty('adapter');

  const again = await worker.post(load, named);
  expect(again.status).toBe(400);
  expect(await again.json()).toMatchObject({
    message: "The lora adapter 'mine' has already been loaded.",
  });
  const gone = await worker.post(unload, { lora_name: 'mine' });
  expect(await gone.text()).toBe("Success: LoRA adapter 'mine' removed successfully.");
  const missing = await worker.post(unload, { lora_name: 'mine' });
  expect(missing.status).toBe(404);
  expect(await missing.json()).toMatchObject({
    message: "The lora adapter 'mine' cannot be found.",
  });
  expect((await worker.post(chat, { ...hello, model: 'mine' })).status).toBe(404);
});

it('asks for both names, and for a key where there are keys', async () => {
  const worker = fakeWorker({ runtimeAdapters: true });
  const wrong = await worker.post(load, { lora_name: 'mine' });
  expect(wrong.status).toBe(400);
  expect(await wrong.json()).toMatchObject({
    message: "Both 'lora_name' and 'lora_path' must be provided.",
  });
  expect((await worker.post(unload, {})).status).toBe(400);
  const elsewhere = { lora_name: 'mine', lora_path: join(folder, 'nowhere') };
  expect((await worker.post(load, elsewhere)).status).toBe(400);
  const locked = fakeWorker({
    runtimeAdapters: true,
    keys: [{ name: 'a', sha256: '0'.repeat(64) }],
  });
  expect((await locked.post(load, elsewhere)).status).toBe(401);
});
