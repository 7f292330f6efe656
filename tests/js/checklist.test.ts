// The lines of the service's checklist that AI.run answers for, one block each, on the real tokenizer. Surprise: the
// weights are random, so where a test needs the model to say something its tokens are forced, or all others are biased
// away; everything around the model is what ships.
import './checklist/prompts.ts';
import './checklist/replies.ts';
import './checklist/tools.ts';
import './checklist/sampling.ts';
import './checklist/images.ts';
import './checklist/azion.ts';
