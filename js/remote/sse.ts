// Owns taking server-sent events apart: bytes in pieces of any size become the data of each event. Called by answer.ts.
// Surprise: servers end lines with LF, CRLF or CR, and some leave out the empty line at the end; all of it is read here,
// and only `data` is kept, since the events of chat completions have nothing else.

/** No event of a chat completion is longer, in characters. */
const eventLengthMax = 16 << 20;

export class SseParser {
  /** The beginning of a line whose end has not come. */
  #line = '';
  #data: string[] = [];
  #length = 0;
  #afterReturn = false;

  /** The data of the events that `text` completes. Throws a RangeError for one that does not end. */
  push(text: string): string[] {
    if (text === '') return [];
    // CR and LF of one line end may come apart.
    const rest = this.#afterReturn && text.startsWith('\n') ? text.slice(1) : text;
    this.#afterReturn = text.endsWith('\r');
    const lines = rest.split(/\r\n|\r|\n/);
    const last = lines.pop() ?? '';
    const events: string[] = [];
    for (const line of lines) {
      this.#take(this.#line + line, events);
      this.#line = '';
    }
    this.#line += last;
    if (this.#length + this.#line.length > eventLengthMax)
      throw new RangeError(`one event has more than ${eventLengthMax} characters, the limit`);
    return events;
  }

  /** The data of an event that the end of the stream completes. */
  end(): string[] {
    const events: string[] = [];
    this.#take(this.#line, events);
    this.#take('', events);
    this.#line = '';
    return events;
  }

  #take(line: string, events: string[]): void {
    if (line === '') {
      if (this.#data.length > 0) events.push(this.#data.join('\n'));
      this.#data = [];
      this.#length = 0;
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    if (field !== 'data') return; // comments, which begin with the colon, too
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    this.#data.push(value);
    this.#length += value.length;
  }
}
