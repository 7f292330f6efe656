// The parser of server-sent events: every way in which servers end lines, and pieces cut anywhere.
import { describe, expect, it } from 'vitest';
import { SseParser } from '../../js/remote/sse.ts';
import { seeded } from './stub.ts';

const all = (...texts: string[]): string[] => {
  const parser = new SseParser();
  return [...texts.flatMap((text) => parser.push(text)), ...parser.end()];
};

describe('SseParser', () => {
  it.each([
    ['LF', 'data: a\n\ndata: b\n\n', ['a', 'b']],
    ['CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
    ['CR', 'data: a\r\rdata: b\r\r', ['a', 'b']],
    ['no space, two spaces', 'data:a\n\ndata:  b\n\n', ['a', ' b']],
    ['several lines of data', 'data: a\ndata: b\ndata\n\n', ['a\nb\n']],
    [
      'comments and other fields',
      ': ping\n\nevent: x\nid: 1\nretry: 5\ndata: a\n: more\n\n',
      ['a'],
    ],
    ['events without data', 'event: ping\n\n\n\ndata: a\n\n', ['a']],
    ['a colon in the data', 'data: {"a": "b: c"}\n\n', ['{"a": "b: c"}']],
    ['no empty line at the end', 'data: a\n\ndata: b\n', ['a', 'b']],
    ['no end of line at the end', 'data: a\n\ndata: b', ['a', 'b']],
    ['nothing', '', []],
  ])('reads %s', (_, text, found) => {
    expect(all(text)).toEqual(found);
    expect(all(...text)).toEqual(found);
  });

  it('reads the same from 300 random cuts', () => {
    const random = seeded(7);
    const ends = ['\n', '\r\n', '\r'];
    for (let round = 0; round < 300; round++) {
      const end = ends[round % 3] as string;
      const sent = Array.from({ length: 6 }, (_, i) => `{"n": ${i}, "text": "é\u{1f980}${i}"}`);
      const text = sent.map((one) => `data: ${one}${end}${end}`).join(`: still here${end}`);
      const cut: string[] = [];
      for (let at = 0; at < text.length; ) {
        const length = Math.floor(random() * 9);
        cut.push(text.slice(at, at + length));
        at += length;
      }
      expect(all(...cut), `round ${round}`).toEqual(sent);
    }
  });

  it('refuses an event without an end', () => {
    const parser = new SseParser();
    const piece = 'x'.repeat(1 << 20);
    parser.push('data: ');
    expect(() => {
      for (let i = 0; i < 20; i++) parser.push(piece);
    }).toThrow(/one event has more than 16777216 characters/);
    const lines = new SseParser();
    expect(() => {
      for (let i = 0; i < 20; i++) lines.push(`data: ${piece}\n`);
    }).toThrow(/one event has more than/);
  });
});
