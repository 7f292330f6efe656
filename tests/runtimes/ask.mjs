// Owns the program that Node, Deno and Bun run in the empty project: asks the installed package everything and prints the
// answers as one line of JSON.  ask.mjs PICTURE [OPTIONS of createAI as JSON]
import { readFileSync } from 'node:fs';
import { createAI } from 'ocelli';
import { answers } from './questions.mjs';

const [picture, options = '{}'] = process.argv.slice(2);
const ai = createAI(JSON.parse(options));
const url = `data:image/png;base64,${readFileSync(picture).toString('base64')}`;
const found = await answers(ai.run, url);
const { variant, threads } = await ai.info();
console.log(JSON.stringify({ answers: found, variant, threads }));
// Nothing is closed: a program ends by itself when nothing is pending.
