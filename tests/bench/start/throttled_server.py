# Owns a server of one container on loopback with a limited rate, for measuring starts. Run as a process of its own by
# start/server.mjs: python3 throttled_server.py FOLDER MB_PER_S ("none": as fast as it goes). Surprise: it shares the cores
# with what it serves, so bytes go by sendfile, from the page cache to the socket, through no buffer of its own; /cpu
# answers with the milliseconds of CPU time that the process has taken.
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

FOLDER = sys.argv[1]
BYTES_PER_S = float('inf') if sys.argv[2] == 'none' else float(sys.argv[2]) * 1e6
PIECE = 1 << 20
BURST_S = 0.02  # what may go at once after a silence


class Account:
    """Up to when all that was sent is paid for: one account for all connections."""

    def __init__(self):
        self.lock = threading.Lock()
        self.paid = 0.0

    def turn(self, count):
        """Waits until `count` more bytes may go."""
        with self.lock:
            now = time.monotonic()
            self.paid = max(self.paid, now - BURST_S) + count / BYTES_PER_S
            wait = self.paid - now
        if wait > 0.001:
            time.sleep(wait)


account = Account()


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def answer(self, status, headers):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def do_GET(self):
        name = os.path.basename(urlparse(self.path).path)
        if name == 'cpu':
            body = b'{"cpuMs": %d}' % (time.process_time() * 1000)
            self.answer(200, {'content-length': len(body)})
            self.wfile.write(body)
            return
        try:
            file = open(os.path.join(FOLDER, name), 'rb')
        except OSError:
            self.answer(404, {'content-length': 0})
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            wanted = self.headers.get('range', '')
            at = int(wanted[len('bytes=') : -1]) if wanted else 0
            headers = {'content-length': size - at}
            if at > 0:
                headers['content-range'] = f'bytes {at}-{size - 1}/{size}'
            self.answer(206 if at > 0 else 200, headers)
            while at < size:
                account.turn(min(PIECE, size - at))
                end = min(size, at + PIECE)
                while at < end:
                    at += os.sendfile(self.connection.fileno(), file.fileno(), at, end - at)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that left


with Server(('127.0.0.1', 0), Handler) as server:
    print(server.server_address[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()
