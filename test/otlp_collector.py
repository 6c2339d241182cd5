"""A collector of OTLP metrics over HTTP that decodes by OpenTelemetry's own definitions.

Prints the port that it listens to, on loopback. It ends with its standard input.

POST /script   JSON: a list of answers for the next exports, each {"status", "headers", "delay" (seconds),
               "rejected", "message"}; without one an export is taken.
GET  /exports  JSON: a list of what was posted to other paths: {"path", "headers", "size", "answered",
               "request"}.
"""

import gzip
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

LOCK = threading.Lock()
SCRIPT = []
EXPORTS = []


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, value):
        self.answer(200, json.dumps(value).encode(), {"content-type": "application/json"})

    def do_GET(self):
        with LOCK:
            self.answer_json(EXPORTS)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/script":
            with LOCK:
                SCRIPT[:] = json.loads(body)
            return self.answer_json(True)
        size = len(body)
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportMetricsServiceRequest()
        request.ParseFromString(body)
        with LOCK:
            answer = SCRIPT.pop(0) if SCRIPT else {}
            status = answer.get("status", 200)
            EXPORTS.append({
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "size": size,
                "answered": status,
                "request": MessageToDict(request, preserving_proto_field_name=True),
            })
        time.sleep(answer.get("delay", 0))
        response = ExportMetricsServiceResponse()
        if "rejected" in answer:
            response.partial_success.rejected_data_points = answer["rejected"]
        if "message" in answer:
            response.partial_success.error_message = answer["message"]
        headers = {"content-type": "application/x-protobuf", **answer.get("headers", {})}
        self.answer(status, response.SerializeToString(), headers)


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
