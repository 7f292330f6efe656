// Owns one HTTP/1.1 connection on Node's sockets: a request out, lines and bytes in. Used by socket_fetch.ts. Surprise: the
// socket fills one buffer again and again and stands still until that is taken, so a byte is copied once on its way and
// nothing is left for the garbage collector.
import type { Socket } from 'node:net';
import { nodeModule } from '../host.ts';

const bufferBytes = 256 << 10;
/** Of one line of an answer's head. */
const lineBytesMax = 64 << 10;
/** How long a connection waits for another request: less than servers do. */
const idleMs = 4000;

const idle = new Map<string, Set<Connection>>();
const closedEarly = (): Error => new Error('the connection was closed');

export class Connection {
  readonly #origin: string;
  readonly #socket: Socket;
  /** What has come and has not been taken. */
  #some: Uint8Array = new Uint8Array(0);
  #error: Error | null = null;
  #over = false;
  #closed = false;
  #wake = (): void => undefined;
  /** Whether it has answered before: the server may have closed it since. */
  used = false;

  private constructor(
    origin: string,
    make: (onread: {
      buffer: Uint8Array;
      callback(bytes: number, buffer: Uint8Array): boolean;
    }) => Socket,
  ) {
    this.#origin = origin;
    this.#socket = make({
      buffer: new Uint8Array(bufferBytes),
      callback: (bytes, buffer) => {
        this.#some = buffer.subarray(0, bytes);
        if (idle.get(origin)?.has(this)) this.close(); // nothing was asked
        this.#wake();
        return false; // no more until this is taken
      },
    });
    const end = (error: Error | null): void => {
      if (!this.#over) this.#error ??= error;
      this.#over = true;
      idle.get(origin)?.delete(this);
      this.#wake();
    };
    this.#socket.on('error', end);
    this.#socket.on('end', () => end(null));
    this.#socket.on('close', () => end(closedEarly()));
    this.#socket.on('timeout', () => this.close());
  }

  /** One that has answered before, where there is one and `fresh` is false; else a new one, perhaps not connected yet. */
  static async to({ protocol, hostname, port, origin }: URL, fresh: boolean): Promise<Connection> {
    const [known] = fresh ? [] : (idle.get(origin) ?? []);
    if (known) {
      idle.get(origin)?.delete(known);
      known.#socket.setTimeout(0).ref();
      return known;
    }
    const secure = protocol === 'https:';
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const { connect } = await nodeModule('node:net');
    const tls = secure ? await nodeModule('node:tls') : null;
    const where = { host, port: Number(port) || (secure ? 443 : 80) };
    return new Connection(origin, (onread) => {
      if (!tls) return connect({ ...where, onread }).setNoDelay();
      const named = /[a-z]/i.test(host) && !host.includes(':') ? { servername: host } : {};
      return tls.connect({ ...where, ...named, ALPNProtocols: ['http/1.1'], onread } as object);
    });
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** What has come, at least a byte; empty at the end. Rejects when the connection breaks. */
  async some(): Promise<Uint8Array> {
    for (;;) {
      if (this.#error && (this.#closed || this.#some.length === 0)) throw this.#error;
      if (this.#over || this.#some.length > 0) return this.#some;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#socket.resume();
      });
    }
  }

  /** Done with the first bytes of what some() gave. */
  take(bytes: number): void {
    this.#some = this.#some.subarray(bytes);
  }

  /** The next line, without its end. */
  async line(): Promise<string> {
    let line = '';
    for (;;) {
      const some = await this.some();
      if (some.length === 0) throw closedEarly();
      const end = some.indexOf(10);
      const part = end < 0 ? some : some.subarray(0, end);
      if (line.length + part.length > lineBytesMax)
        throw new Error('a line of the answer is too long');
      line += String.fromCharCode(...part.subarray(0, 8192));
      this.take(Math.min(part.length, 8192) + (end >= 0 && part.length <= 8192 ? 1 : 0));
      if (end >= 0 && part.length <= 8192) return line.replace(/\r$/, '');
    }
  }

  /** Its answer has been taken to its end; it waits for the next request. */
  rest(): void {
    this.used = true;
    if (this.#over || this.#some.length > 0) return this.close();
    const others = idle.get(this.#origin) ?? new Set();
    idle.set(this.#origin, others.add(this));
    this.#socket.setTimeout(idleMs).unref().resume();
  }

  close(error?: Error): void {
    this.#closed = true;
    this.#error ??= error ?? closedEarly();
    idle.get(this.#origin)?.delete(this);
    this.#socket.destroy();
    this.#wake();
  }
}
