"""A gate in front of a peer of the server's, which can be closed."""

import http.client
import http.server
import ssl
import threading
import time


class Gate:
    """Passes requests on, and keeps those waiting, or fails those, that a rule picks."""

    def __init__(self, url, tls=None):
        gate = self
        self.target = url.removeprefix("http://")
        self.waits = self.fails = lambda method, path: False
        self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gate.seen.append((self.command, self.path))
                while gate.waits(self.command, self.path):
                    time.sleep(0.02)
                if gate.fails(self.command, self.path):
                    return self.answer(503, [], b"<Error><Code>SlowDown</Code></Error>")
                onward = http.client.HTTPConnection(gate.target, timeout=60)
                onward.request(self.command, self.path, body, dict(self.headers))
                response = onward.getresponse()
                self.answer(response.status, response.getheaders(), response.read())

            def answer(self, status, headers, body):
                self.send_response_only(status)
                length = [value for name, value in headers if name.lower() == "content-length"]
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                # The length of what HEAD does not send is told all the same.
                self.send_header("Content-Length", length[0] if self.command == "HEAD" and length else str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def open(self):
        self.waits = self.fails = lambda method, path: False

    def close(self):
        self.open()
        self.server.shutdown()
        self.server.server_close()
