"""Takes signals as a responder does, and keeps them with the moment at which they came."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import threading
import time
import typing as t

Json = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Signal:
    """One signal; ``at`` on the monotonic clock."""

    at: float
    type: str
    object: str
    data: Json


class Sink:
    """What has come so far. ``deaf``: it answers 503."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._signals: list[Signal] = []
        self.url = ""
        self.deaf = False

    def take(self, events: list[Json]) -> None:
        """Keep them."""
        with self._changed:
            for event in events:
                data = event["data"]
                self._signals.append(Signal(time.monotonic(), event["type"], data["object"], data))
            self._changed.notify_all()

    def all(self) -> list[Signal]:
        """All of them, oldest first."""
        with self._changed:
            return list(self._signals)

    def clear(self) -> None:
        """Forget what has come."""
        with self._changed:
            self._signals.clear()

    def drop(self, object_: str) -> None:
        """Forget what was said about an object."""
        with self._changed:
            self._signals = [it for it in self._signals if it.object != object_]

    def wait(self, wanted: t.Callable[[Signal], bool], timeout: float = 60.0) -> Signal:
        """The first signal that is wanted."""
        with self._changed:
            found: list[Signal] = []

            def there() -> bool:
                found[:] = [it for it in self._signals if wanted(it)][:1]
                return bool(found)

            assert self._changed.wait_for(there, timeout), (
                f"not said within {timeout} s; what was said: {self._signals}"
            )
            return found[0]

    def of(self, word: str, object_: str, timeout: float = 60.0) -> Signal:
        """The first signal of this type (its last word) about an object."""
        return self.wait(lambda it: it.object == object_ and it.type.endswith(f".{word}"), timeout)


@contextlib.contextmanager
def sink() -> t.Iterator[Sink]:
    """A sink at a free port of this machine, over plain HTTP."""
    made = Sink()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # of a monitor that is killed
                super().handle()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            content = json.loads(body)
            events = content if isinstance(content, list) else [content]
            if not made.deaf:
                made.take(events)
            self._answer(503 if made.deaf else 202, {"accepted": [it["id"] for it in events]})

        def _answer(self, status: int, content: Json) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: t.Any) -> None:
            """Nothing to stderr."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
