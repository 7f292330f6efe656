// Owns what keeping things means: the interface of every store, and its bound. Called by runware/, implemented beside this
// file and by adapters/node_store.ts. Surprise: what is open (accepted and not finished) neither expires nor gives way; when
// only such things are left and there is no room, the store refuses, so that nothing is accepted that it could lose.
import { Refusal, retryAfter } from '../errors.ts';

export interface Kept {
  /** What it is: ids are apart from those of other kinds. */
  kind: 'task' | 'image' | 'key';
  /** Whose it is: a caller's id, or '' for whoever knows the id. */
  owner: string;
  id: string;
  /** Still to be worked on. */
  open: boolean;
  /** Milliseconds since 1970 from which it is gone, once it is not open. */
  expires: number;
  bytes: Uint8Array;
}

export interface Store {
  /** Whether it outlives the process. */
  readonly lasting: boolean;
  /** Keeps or replaces; when it resolves, a crash loses nothing of it. Rejects with a Refusal 503 when there is no room. */
  put(entry: Kept): Promise<void>;
  get(kind: Kept['kind'], owner: string, id: string): Promise<Kept | undefined>;
  /** The open ones of a kind, oldest first. */
  open(kind: Kept['kind']): Promise<Kept[]>;
  close(): Promise<void>;
}

export interface StoreLimits {
  /** All entries together. */
  bytesMax: number;
  /** Milliseconds since 1970. */
  clock: () => number;
}

export const storeDefaults: StoreLimits = { bytesMax: 256 << 20, clock: Date.now };

/** What an entry counts for: its bytes, and about what stands beside them. */
export const weightOf = ({ bytes, owner, id }: Pick<Kept, 'bytes' | 'owner' | 'id'>): number =>
  bytes.length + owner.length + id.length + 200;

export const storeFull = (bytesMax: number): Refusal =>
  new Refusal(503, 'store_full', `the server keeps ${bytesMax} bytes of unfinished tasks already`, {
    headers: retryAfter(10),
  });
