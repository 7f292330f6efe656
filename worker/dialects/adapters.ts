// Owns loading and unloading LoRA adapters over HTTP, as vLLM has it. Called by app.ts through all.ts. Surprise: without
// `runtimeAdapters` there are no such routes: whoever may call them makes the server read any folder or URL.
import { badRequest } from '../../js/errors.ts';
import { readJson } from '../body.ts';
import type { App, Mount, WorkerContext } from '../context.ts';
import { bearer } from './openai.ts';

export const adapters: Mount = (app: App, context: WorkerContext) => {
  if (!context.runtimeAdapters) return;

  app.post('/v1/load_lora_adapter', async (c) => {
    await bearer(c, context);
    const { lora_name: name, lora_path: path } = Object((await readJson(c, context)).value);
    if (!isText(name) || !isText(path))
      throw badRequest('missing_field', "Both 'lora_name' and 'lora_path' must be provided.");
    await context.adapters.load(name, path);
    return c.text(`Success: LoRA adapter '${name}' added successfully.`);
  });

  app.post('/v1/unload_lora_adapter', async (c) => {
    await bearer(c, context);
    const { lora_name: name } = Object((await readJson(c, context)).value);
    if (!isText(name)) throw badRequest('missing_field', "'lora_name' must be provided.");
    await context.adapters.unload(name);
    return c.text(`Success: LoRA adapter '${name}' removed successfully.`);
  });
};

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
