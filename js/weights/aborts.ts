// Owns ending many things at once: a signal for each shard that is on its way, and one abort for all. Called by place.ts and
// pull.ts. Surprise: they do not all listen to one signal, since hosts take many listeners on one for a leak.

export class Aborts {
  readonly #children = new Set<AbortController>();
  readonly #outer: AbortSignal | undefined;
  readonly #listener = (): void => this.abort(this.#outer?.reason);
  readonly #own = new AbortController();

  /** Follows `outer`, until end(). */
  constructor(outer?: AbortSignal) {
    this.#outer = outer;
    outer?.addEventListener('abort', this.#listener);
    if (outer?.aborted) this.#listener();
  }

  get aborted(): boolean {
    return this.#own.signal.aborted;
  }
  throwIfAborted(): void {
    this.#own.signal.throwIfAborted();
  }

  abort(reason: unknown): void {
    this.#own.abort(reason);
    for (const child of this.#children) child.abort(reason);
    this.#children.clear();
  }

  /** Does `work` with a signal of its own. */
  async within<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.throwIfAborted();
    const child = new AbortController();
    this.#children.add(child);
    try {
      return await work(child.signal);
    } finally {
      this.#children.delete(child);
    }
  }

  end(): void {
    this.#outer?.removeEventListener('abort', this.#listener);
  }
}
