// A browser's storage without a browser: the Cache API and the origin-private file system in memory, as far as the caches
// use them. Surprise: strict where browsers are: handles lock their file, a full disk rejects, names are checked.

export class FakeCache {
  entries = new Map<string, Uint8Array>();
  bytesMax = Infinity;
  /** Called before every change; may throw: what a kill between two writes leaves behind. */
  beforeWrite: () => void = () => undefined;

  async put(url: string, response: Response): Promise<void> {
    this.beforeWrite();
    const bytes = new Uint8Array(await response.arrayBuffer());
    const used = [...this.entries.values()].reduce((sum, { length }) => sum + length, 0);
    if (used + bytes.length > this.bytesMax) throw quotaExceeded();
    this.entries.set(new URL(url).href, bytes);
  }
  async match(url: string): Promise<Response | undefined> {
    const bytes = this.entries.get(new URL(url).href);
    return bytes && new Response(bytes.slice());
  }
  async delete(url: string): Promise<boolean> {
    this.beforeWrite();
    return this.entries.delete(new URL(url).href);
  }
  async keys(): Promise<{ url: string }[]> {
    return [...this.entries.keys()].map((url) => ({ url }));
  }
}

/** navigator.locks, of one thread. */
export class FakeLocks {
  #taken = new Map<string, Promise<unknown>>();

  async request(
    name: string,
    { signal, ifAvailable }: { signal?: AbortSignal; ifAvailable?: boolean },
    work: (lock: object | null) => Promise<void>,
  ): Promise<void> {
    if (ifAvailable && signal) throw new DOMException('not both', 'NotSupportedError');
    for (let before = this.#taken.get(name); before; before = this.#taken.get(name)) {
      if (ifAvailable) return await work(null);
      const aborted = new Promise((_, reject) =>
        signal?.addEventListener('abort', () => reject(signal.reason)),
      );
      await Promise.race([before, aborted]);
    }
    const mine = work({ name });
    this.#taken.set(name, mine);
    await mine.finally(() => this.#taken.delete(name));
  }
}

const quotaExceeded = (): DOMException => new DOMException('no room', 'QuotaExceededError');
const notFound = (): DOMException => new DOMException('there is none', 'NotFoundError');
const locked = (): DOMException => new DOMException('in use', 'NoModificationAllowedError');

interface File {
  bytes: Uint8Array;
  writers: number;
}

/** `worker`: with synchronous handles. */
export function fakeOpfs(worker: boolean) {
  const files = new Map<string, File>();
  const disk = { bytesMax: Infinity };
  const used = (): number => [...files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  const grow = (file: File, length: number): void => {
    if (length <= file.bytes.length) return;
    if (used() + length - file.bytes.length > disk.bytesMax) throw quotaExceeded();
    const bytes = new Uint8Array(length);
    bytes.set(file.bytes);
    file.bytes = bytes;
  };
  const handleOf = (first: string) => {
    let name = first;
    const file = (): File => {
      const found = files.get(name);
      if (!found) throw notFound();
      return found;
    };
    return {
      kind: 'file',
      getFile: async () => new Blob([file().bytes.slice()]),
      async move(to: string) {
        if (file().writers > 0) throw locked();
        files.set(to, file());
        files.delete(name);
        name = to;
      },
      async createWritable() {
        const own: File = { bytes: file().bytes.slice(), writers: 0 };
        let at = 0;
        return {
          truncate: async (length: number) => void (own.bytes = own.bytes.slice(0, length)),
          seek: async (to: number) => void (at = to),
          async write(piece: Uint8Array) {
            grow(own, at + piece.length);
            own.bytes.set(piece, at);
            at += piece.length;
          },
          close: async () => void (file().bytes = own.bytes),
        };
      },
      ...(worker && {
        async createSyncAccessHandle({ mode = 'readwrite' } = {}) {
          const mine = file();
          if (mode === 'readwrite' && mine.writers > 0) throw locked();
          if (mode === 'readwrite') mine.writers++;
          return {
            read(into: Uint8Array, { at }: { at: number }) {
              const part = mine.bytes.subarray(at, at + into.length);
              into.set(part);
              return part.length;
            },
            write(piece: Uint8Array, { at }: { at: number }) {
              grow(mine, at + piece.length);
              mine.bytes.set(piece, at);
              return piece.length;
            },
            truncate: (length: number) => void (mine.bytes = mine.bytes.slice(0, length)),
            getSize: () => mine.bytes.length,
            flush: () => undefined,
            close: () => void (mode === 'readwrite' && mine.writers--),
          };
        },
      }),
    };
  };
  const folder = {
    async getFileHandle(name: string, { create = false } = {}) {
      if (!/^[\w.-]+$/.test(name)) throw new TypeError(`the name ${name} is not allowed`);
      if (!files.has(name) && !create) throw notFound();
      if (!files.has(name)) files.set(name, { bytes: new Uint8Array(), writers: 0 });
      return handleOf(name);
    },
    async removeEntry(name: string) {
      if (!files.delete(name)) throw notFound();
    },
    async *entries() {
      for (const name of [...files.keys()]) yield [name, handleOf(name)] as const;
    },
  };
  const storage = {
    getDirectory: async () => ({ getDirectoryHandle: async () => folder }),
    estimate: async () => ({ quota: Math.min(disk.bytesMax, 2 ** 40), usage: used() }),
  };
  return { files, disk, storage };
}
