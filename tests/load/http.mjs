// Owns asking over HTTP as badly as clients do: leaving in the middle, bodies without an end, bytes that are no HTTP. Used by
// the clients. Surprise: this is node:http and not fetch, since connections must be countable and breakable.
import { Agent, request } from 'node:http';
import { connect } from 'node:net';

/** Connections that are kept; a fresh one after rest(). */
let agent = new Agent({ keepAlive: true });

/** Closes the connections that are kept. */
export function rest() {
  agent.destroy();
  agent = new Agent({ keepAlive: true });
}

/**
 * { status, headers, text, left }. `leave` is when to go: { bytes } of the answer, or { ms }; left tells that this came first.
 * Rejects when the connection fails.
 */
export function ask(url, { method = 'POST', headers = {}, body, leave } = {}, again = true) {
  return new Promise((resolve, reject) => {
    let timer;
    let over = false;
    const sent = { 'content-type': 'application/json', ...headers };
    const call = request(url, { method, headers: sent, agent: again && agent }, (answer) => {
      const { statusCode: status, headers: given } = answer;
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => {
        text += piece;
        if (leave?.bytes !== undefined && text.length >= leave.bytes) go(status);
      });
      answer.on('end', () => finish({ status, headers: given, text, left: false }));
      answer.on('error', fail);
      answer.on('aborted', () => fail(new Error(`the answer of status ${status} broke off`)));
    });
    const finish = (value) => {
      over = true;
      clearTimeout(timer);
      resolve(value);
    };
    const go = (status = 0) => {
      if (over) return;
      finish({ status, headers: {}, text: '', left: true });
      call.destroy();
    };
    const fail = (error) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      // A kept connection may have been closed at the very moment it was used: every client asks again, by a new one.
      if (again && call.reusedSocket && error.code === 'ECONNRESET')
        ask(url, { method, headers, body, leave }, false).then(resolve, reject);
      else reject(error);
    };
    call.on('error', fail);
    if (leave?.ms !== undefined) timer = setTimeout(go, leave.ms);
    call.end(body);
  });
}

/** Sends bytes as they are, and leaves after `ms` or when the other side does. What was answered. */
export function raw(url, bytes, ms) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.setEncoding('latin1');
    socket.on('data', (piece) => (text += piece));
    socket.on('error', (error) => (error.code === 'ECONNREFUSED' ? reject(error) : undefined));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}
