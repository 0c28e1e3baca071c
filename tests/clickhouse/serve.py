"""ClickHouse's own engine behind as much of its HTTP interface as an INSERT and a SELECT need.

usage: serve.py SQL

Runs the statements of that file first. Prints its port on 127.0.0.1. A POST is the statement in `query`, with the body as its data; a GET
answers a SELECT. What the engine cannot read is a 400 and a table that is not there a 404, as ClickHouse answers.
"""

from __future__ import annotations

import http.server
import pathlib
import re
import sys
import threading
from urllib.parse import parse_qsl, urlsplit

from chdb import session

engine = session.Session()
# One statement at a time.
turn = threading.Lock()
for statement in pathlib.Path(sys.argv[1]).read_text().split(";"):
    if re.sub(r"--.*", "", statement).strip():
        engine.query(statement)


class Interface(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query))
        query = parameters.pop("query")
        data = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        settings = ", ".join(f"{name} = '{value}'" for name, value in parameters.items())
        if settings and " FORMAT " in query:
            query = query.replace(" FORMAT ", f" SETTINGS {settings} FORMAT ")
        try:
            with turn:
                answer = engine.query(f"{query}\n{data}", "JSONEachRow")
            self.answer(200, str(answer))
        except Exception as error:
            self.answer(404 if "UNKNOWN_TABLE" in str(error) else 400, str(error))

    do_GET = do_POST

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Interface)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
