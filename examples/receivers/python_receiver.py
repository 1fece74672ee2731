#!/usr/bin/env python3
"""Answers 204 to a webhook whose signature holds and 401 to any other: pip install standardwebhooks.

WEBHOOK_SECRET is the secret, `whsec_…`; PORT is where it listens on 127.0.0.1, any free one by default.
It prints where that is, then the id of each webhook that it has accepted.
"""
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

BODY_BYTES_MAX = 1024 * 1024
webhook = Webhook(os.environ["WEBHOOK_SECRET"])


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        try:
            length = int(self.headers.get("content-length", 0))
        except ValueError:
            length = -1
        if not 0 <= length <= BODY_BYTES_MAX:  # read(-1) would wait for the end
            self.close_connection = True
            return self.answer(400 if length < 0 else 413)
        body = self.rfile.read(length)  # the bytes as they came: JSON that is written anew signs differently
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError):  # ValueError: the signature isn't even base64
            return self.answer(401)
        # An attempt may be repeated: the id stays the same, so whoever remembers it does the work once.
        print(headers["webhook-id"], flush=True)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 0))), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
