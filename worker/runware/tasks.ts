// Owns what tasks may say: their fields as schemas, in today's spelling and the older ones of the SDKs. Called by desk.ts.
// Surprise: the code of an error is made of the field it is about (missingModel, invalidTtl), as clients sort them so.
import { z } from 'zod';
import { shapes } from '../schemas.ts';
import { refuse } from './errors.ts';

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
export const isUUID = (text: string): boolean => uuidPattern.test(text);

const uuid = z.string().regex(uuidPattern, 'must be a UUID');
const url = z.string().refine((text) => {
  try {
    return /^https?:$/.test(new URL(text).protocol);
  } catch {
    return false;
  }
}, 'must be an http: or https: URL');
const text = z.string().min(1, 'must not be empty');
const prompt = z.union([z.string(), z.array(z.string())], 'must be a string or strings');

const options = {
  taskUUID: uuid,
  deliveryMethod: z.enum(['sync', 'async']).nullish(),
  webhookURL: url.nullish(),
  uploadEndpoint: url.nullish(),
  includeCost: z.boolean().nullish(),
  ttl: z.int().min(60, 'must be at least 60').nullish(),
};

const captionTask = z.looseObject({
  ...options,
  taskType: z.enum(['caption', 'imageCaption']),
  model: text.nullish(),
  prompt: prompt.nullish(),
  inputs: z
    .looseObject({
      image: text.nullish(),
      images: z.array(text).nullish(),
      // sdk-js leaves a caller no other place for it: it drops the outer one.
      prompt: prompt.nullish(),
    })
    .nullish(),
  inputImage: text.nullish(),
  inputImages: z.array(text).nullish(),
  // About media that are made; accepted, as a text has none of it.
  outputType: z.enum(['URL', 'base64Data', 'dataURI']).nullish(),
  outputFormat: z.enum(['JPG', 'PNG', 'WEBP']).nullish(),
  outputQuality: z.int().min(20).max(99).nullish(),
});
captionTask.register(shapes, { id: 'CaptionTask' });
export type CaptionTask = z.infer<typeof captionTask>;

const uploadTask = z.looseObject({ ...options, taskType: z.literal('imageUpload'), image: text });
uploadTask.register(shapes, { id: 'ImageUploadTask' });
export type UploadTask = z.infer<typeof uploadTask>;
export type Task = CaptionTask | UploadTask;

const pollTask = z
  .looseObject({ taskType: z.literal('getResponse'), taskUUID: uuid })
  .register(shapes, { id: 'GetResponseTask' });
const keyTask = z
  .looseObject({ taskType: z.literal('authentication'), apiKey: z.string() })
  .register(shapes, { id: 'AuthenticationTask' });
const pingTask = z
  .looseObject({ taskType: z.literal('ping') })
  .register(shapes, { id: 'PingTask' });

/** What a request or a frame is, as the OpenAPI document tells it; tasks are checked one by one, each for itself. */
export const taskList = z
  .array(z.union([captionTask, uploadTask, pollTask, keyTask, pingTask]))
  .min(1)
  .register(shapes, { id: 'Tasks' });
const taskResult = z
  .looseObject({ taskType: z.string(), taskUUID: uuid.optional(), text: z.string().optional() })
  .register(shapes, { id: 'TaskResult' });
export const taskFailures = z
  .looseObject({
    errors: z.array(
      z.looseObject({ code: z.string(), message: z.string(), parameter: z.string().optional() }),
    ),
  })
  .register(shapes, { id: 'TaskErrors' });
/** Some tasks may have failed while others have not. */
export const taskResults = z
  .looseObject({ data: z.array(taskResult), errors: taskFailures.shape.errors.optional() })
  .register(shapes, { id: 'TaskResults' });

const pascal = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/** `value` as `schema` has it; throws a Refusal 400 missing<Field> or invalid<Field>. */
function checked<T>(schema: z.ZodType<T>, value: object): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const { path, message } = error.issues[0] as z.core.$ZodIssue;
  const field = pascal(String(path.findLast((step) => typeof step === 'string') ?? 'task'));
  const there = path.reduce<unknown>(
    (inside, step) => (Object(inside) as Record<PropertyKey, unknown>)[step],
    value,
  );
  const parameter = path.map(String).join('.');
  if (there === undefined || there === null)
    throw refuse(`missing${field}`, `${parameter} is needed`, parameter);
  const shown = JSON.stringify(there).slice(0, 60);
  throw refuse(`invalid${field}`, `${parameter}: ${message}, got ${shown}`, parameter);
}

/** A task that makes something. Throws a Refusal 400. */
export function parseTask(value: object & { taskType: string }): Task {
  if (value.taskType === 'imageUpload') return checked(uploadTask, value);
  const task = checked(captionTask, value);
  if (task.taskType === 'caption' && !task.model)
    throw refuse('missingModel', 'model is needed', 'model');
  if (imagesOf(task).length > 0) return task;
  if (task.inputs?.['video'] !== undefined)
    throw refuse('unsupportedVideo', 'videos are not supported; send images', 'inputs.video');
  throw refuse('missingImage', 'inputs.image is needed', 'inputs.image');
}

/** The UUID that a getResponse asks about. Throws a Refusal 400. */
export const polledUUID = (value: object): string =>
  checked(pollTask, value).taskUUID.toLowerCase();

/** The images of a caption with the names they were given under, in their order. */
export function imagesOf(task: CaptionTask): { name: string; image: string }[] {
  const { inputs, inputImage, inputImages } = task;
  const one = (name: string, image: string | null | undefined) => (image ? [{ name, image }] : []);
  const all = (name: string, images: readonly string[] | null | undefined) =>
    (images ?? []).flatMap((image, i) => one(`${name}[${i}]`, image));
  return [
    ...one('inputs.image', inputs?.image),
    ...all('inputs.images', inputs?.images),
    ...one('inputImage', inputImage),
    ...all('inputImages', inputImages),
  ];
}

/** What is asked about the images; what the service asks when nothing is said is not known. */
export function promptOf({ prompt, inputs }: CaptionTask): string {
  const asked = prompt ?? inputs?.prompt ?? '';
  return (typeof asked === 'string' ? asked : asked.join('\n')).trim() || 'Describe this image.';
}

/** Whether the answer comes later: asked for, or told to somebody else. */
export const isAsync = ({ deliveryMethod, webhookURL }: Task): boolean =>
  deliveryMethod === 'async' || Boolean(webhookURL);
