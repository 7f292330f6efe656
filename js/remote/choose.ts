// Owns which engine an AI has: one here, an endpoint, or whichever 'auto' finds. Called by front.ts. Surprise: giving
// `remote` alone means 'auto', so that one option is all that a program needs to run where the model does not fit.
import { type AI, type AIOptions, createAI } from '../ai.ts';
import { badRequest } from '../errors.ts';
import { placePackage } from '../host.ts';
import { askingFor, autoAI } from './auto.ts';
import { remoteAI } from './remote_ai.ts';

/** Throws a BadRequestError for options that cannot be. */
export function chooseAI(options: AIOptions): AI {
  const local = createAI(options);
  const { remote, engine = remote ? 'auto' : 'local', files } = options;
  if (files !== undefined) placePackage(files);
  if (engine === 'remote' && !remote)
    throw badRequest('missing_field', 'engine "remote" needs remote: { url }', 'remote');
  if (engine === 'local' || !remote) return local;
  const elsewhere = remoteAI({ ...options, remote });
  if (engine === 'remote') return elsewhere;
  const asking = askingFor(
    options,
    () => local,
    () => elsewhere,
  );
  return autoAI(options, asking);
}
