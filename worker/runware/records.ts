// Owns what is kept of a task, as JSON in the store: what to do until it is done, then how it ended and whom to tell. Called by
// desk.ts. Surprise: a finished task is kept without what it was asked, images above all, so that the store holds many.
import type { Kept } from '../store/store.ts';
import type { Delivery } from './deliver.ts';
import type { TaskError } from './errors.ts';
import type { Task } from './tasks.ts';

export interface Record {
  /** Of the task as it was sent: tells it from another one of the same UUID. */
  digest: string;
  taskType: string;
  taskUUID: string;
  /** Seconds to keep its end. */
  ttl?: number;
  origin: string;
  /** Until it is done. */
  task?: Task;
  reply?: object;
  error?: TaskError;
  /** Who is still to be told. */
  deliveries: Delivery[];
}

export const recordOf = ({ bytes }: Kept): Record =>
  JSON.parse(new TextDecoder().decode(bytes)) as Record;

export function entryOf(owner: string, record: Record, open: boolean, expires: number): Kept {
  const bytes = new TextEncoder().encode(JSON.stringify(record));
  const id = record.taskUUID.toLowerCase();
  return { kind: 'task', owner, id, open, expires, bytes };
}

/** Whom the task wants told how it ended: its webhook in the words of a sync reply, its upload the text alone. */
export function deliveriesOf(task: Task, { reply, error }: Record): Delivery[] {
  const text = (reply as { text?: string } | undefined)?.text;
  const { webhookURL, uploadEndpoint } = task;
  return [
    ...(webhookURL
      ? [
          {
            ...{ method: 'POST' as const, url: webhookURL, type: 'application/json' },
            body: JSON.stringify(reply ? { data: [reply] } : { errors: [error] }),
          },
        ]
      : []),
    ...(uploadEndpoint && text !== undefined
      ? [
          {
            ...{ method: 'PUT' as const, url: uploadEndpoint, type: 'text/plain; charset=utf-8' },
            body: text,
          },
        ]
      : []),
  ];
}
