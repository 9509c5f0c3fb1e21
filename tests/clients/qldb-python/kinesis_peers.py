"""What streams are sent to in tests: moto's Kinesis, a small one of our own that can be told to misbehave, and the decoder of
aggregated records that consumers have, written from the description of the format."""

import atexit
import base64
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import boto3
from harness import free_port

KEY, STREAM_SECRET = "AKIDSTREAMS", "a-secret-that-must-be-seen-nowhere"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": STREAM_SECRET, "AWS_REGION": ""}


class Moto:
    """moto's server, with a stream for each case."""

    def __init__(self, command, log):
        self.url = f"http://127.0.0.1:{free_port()}"
        port = self.url.rsplit(":", 1)[1]
        self.log = open(log, "ab")
        self.process = subprocess.Popen([command, "-H", "127.0.0.1", "-p", port], stdout=self.log, stderr=self.log)
        atexit.register(self.process.kill)
        for _ in range(600):
            assert self.process.poll() is None, "moto ended"
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/")
                break
            except OSError:
                time.sleep(0.1)
        self.api = boto3.client(
            "kinesis", region_name="us-east-1", endpoint_url=self.url, aws_access_key_id=KEY, aws_secret_access_key="other"
        )

    def make(self, name, shards=3):
        self.api.create_stream(StreamName=name, ShardCount=shards)
        return self.api.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]

    def records(self, name):
        """Everything in a stream: pairs of the partition key and the data."""
        found = []
        for shard in self.api.list_shards(StreamName=name)["Shards"]:
            named = {"StreamName": name, "ShardId": shard["ShardId"]}
            at = self.api.get_shard_iterator(**named, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            while True:
                page = self.api.get_records(ShardIterator=at, Limit=1000)
                found += [(record["PartitionKey"], record["Data"]) for record in page["Records"]]
                at = page.get("NextShardIterator")
                if not at or not page["Records"]:
                    break
        return found

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


class Fake:
    """A Kinesis with one stream that verifies signatures and does what `answer` says: it gets a call's records, pairs of key
    and data, and gives a list of what went wrong with each (None: nothing), or an error (status, name, message)."""

    def __init__(self, answer=None, port=None, tls=None):
        self.answer = answer or (lambda records: [None] * len(records))
        self.taken, self.calls, self.wrong, self.open = [], [], [], []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                fake.open.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = fake.put(self, body)
                answer = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port or 0), Handler)
        # Who is cancelled hangs up.
        self.server.handle_error = lambda *_: None
        self.server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, request, body):
        what = self.unsigned(request, body)
        if what is not None:
            self.wrong.append(what)
            return 400, {"__type": "InvalidSignatureException", "message": what}
        asked = json.loads(body)
        records = [(record["PartitionKey"], base64.b64decode(record["Data"])) for record in asked["Records"]]
        self.calls.append(records)
        if not 1 <= len(records) <= 500 or sum(len(key) + len(data) for key, data in records) > 5 << 20:
            self.wrong.append(f"{len(records)} records")
        answer = self.answer(records)
        if isinstance(answer, tuple):
            status, name, message = answer
            return status, {"__type": name, "message": message}
        self.taken += [record for record, error in zip(records, answer) if error is None]
        shown = [{"SequenceNumber": "1", "ShardId": "0"} if error is None else {"ErrorCode": error, "ErrorMessage": "no"} for error in answer]
        return 200, {"FailedRecordCount": sum(error is not None for error in answer), "Records": shown}

    @staticmethod
    def unsigned(request, body):
        """What is wrong with a request's signature."""
        if request.headers["x-amz-target"] != "Kinesis_20131202.PutRecords" or request.path != "/":
            return "not PutRecords"
        algorithm, fields = request.headers["authorization"].split(" ", 1)
        fields = dict(field.strip().split("=", 1) for field in fields.split(","))
        key, *scope = fields["Credential"].split("/")
        date, region, service, _ = scope
        names = fields["SignedHeaders"].split(";")
        if {"host", "x-amz-date", "x-amz-target"} - set(names) or (algorithm, key, service) != ("AWS4-HMAC-SHA256", KEY, "kinesis"):
            return "signed otherwise"
        lines = "".join(f"{name}:{request.headers[name]}\n" for name in names)
        canonical = f"POST\n/\n\n{lines}\n{';'.join(names)}\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = "\n".join([algorithm, request.headers["x-amz-date"], "/".join(scope), digest])
        secret = ("AWS4" + STREAM_SECRET).encode()
        for part in [date, region, service, "aws4_request"]:
            secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
        good = hmac.new(secret, to_sign.encode(), hashlib.sha256).hexdigest() == fields["Signature"]
        return None if good and region == "eu-west-1" else "the signature does not hold"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def number(data, at):
    """A number of protobuf, and where the next thing begins."""
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift, last = at + 1, shift + 7, data[at] < 0x80
        if last:
            return value, at


def fields(data):
    """Pairs of a field's number and its value."""
    at = 0
    while at < len(data):
        tag, at = number(data, at)
        value, at = number(data, at)
        if tag & 7 == 2:
            length, value = value, data[at : at + value]
            assert len(value) == length
            at += length
        yield tag >> 3, value


def apart(records):
    """The records of a stream, those that were aggregated taken apart: pairs of key and data."""
    for key, data in records:
        if data[:4] != b"\xf3\x89\x9a\xc2":
            yield key, data
            continue
        message, digest = data[4:-16], data[-16:]
        assert hashlib.md5(message).digest() == digest
        keys = [value.decode() for tag, value in fields(message) if tag == 1]
        # Consumers drop records whose key belongs to another shard than the whole.
        assert keys == [key], keys
        for tag, value in fields(message):
            if tag == 3:
                part = dict(fields(value))
                assert part[1] == 0 and set(part) == {1, 3}
                yield keys[part[1]], part[3]
