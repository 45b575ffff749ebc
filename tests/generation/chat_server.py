"""A real HTTP server that answers as a chat model would, and fails as servers do."""

import json
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHOWN = re.compile(r"<(response [AB]) (?P<code>\w+)>\n(.*?)\n</\1 (?P=code)>", flags=re.DOTALL)


def shorter(messages):
    """Prefer the shorter response, whatever it says."""
    first, second = shown(messages)
    return "A" if len(first) < len(second) else "B" if len(second) < len(first) else "tie"


def always_first(messages):
    return "A"


def shown(messages):
    """The two responses as a reader of the marks sees them."""
    return [found[2] for found in SHOWN.findall(messages[1]["content"])]


def chat(text, **usage):
    return {
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1, **usage},
    }


class ChatServer(ThreadingHTTPServer):
    """Answers by ``model``; ``faults`` are used up first, one a request."""

    daemon_threads = True

    def __init__(self, model=shorter, faults=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.model = model
        self.faults = list(faults)
        self.seen = []  # (time, headers, body)
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def times(self):
        return [at for at, _, _ in self.seen]

    @property
    def bodies(self):
        return Counter(json.dumps(body, sort_keys=True) for _, _, body in self.seen)

    def handle_error(self, request, client_address):
        """Say nothing: clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append((time.monotonic(), dict(self.headers), body))
            fault = self.server.faults.pop(0) if self.server.faults else None
        assert self.path == "/v1/chat/completions"
        if fault is None:
            self.say(chat(self.server.model(body["messages"])))
        else:
            fault(self)

    def say(self, value, status=200, headers=(), length=None):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


def status(number, value=b"no", *headers):
    return lambda handler: handler.say(value, number, headers)


def says(value):
    """A reply of status 200 with any content."""
    return lambda handler: handler.say(value)


def answers(text):
    return says(chat(text))


def drops(handler):
    """Hang up without a word."""
    handler.close_connection = True


def breaks_off(handler):
    handler.say(b'{"choices": [', length=500)
    handler.close_connection = True


def breaks_a_chunk_off(handler):
    handler.send_response(500)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"40\r\nhalf")
    handler.close_connection = True


def hangs(handler):
    handler.server.closing.wait(30)
    handler.close_connection = True


def drips(handler):
    """Send a byte now and then: no single wait is long, all of them never end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b" ")


def no_http(handler):
    handler.wfile.write(b"this is no HTTP\r\n\r\n")
    handler.close_connection = True


@contextmanager
def serving(model=shorter, faults=()):
    server = ChatServer(model, faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
