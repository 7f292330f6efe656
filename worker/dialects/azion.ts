// Owns Azion's dialect over HTTP. Called by app.ts through all.ts. Surprise: it is empty. What Azion offers under
// /v1/chat/completions is vLLM's route, byte for byte (openai.ts), and its binding is js/azion.ts; the file is here so that
// whoever looks for it finds that out.
import type { Mount } from '../context.ts';

export const azion: Mount = () => undefined;
