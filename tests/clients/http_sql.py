"""The HTTP door: POST /sql in all formats, errors, limits, foreign pages, and the machine's pages.

    LAKEHEAD_HTTP=127.0.0.1:8080 python tests/clients/http_sql.py

Only the standard library.
"""

import http.client
import json
import os
import time

HOST, PORT = os.environ.get("LAKEHEAD_HTTP", "127.0.0.1:8080").rsplit(":", 1)


def request(method, path, body=None, timeout=30, **headers):
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=timeout)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def sql(text, accept="application/json", **more):
    response, data = request("POST", "/sql", text.encode(), accept=accept, content_type="text/plain", **more)
    return response.status, data


def check(name, got, expected):
    assert got == expected, f"{name}: got {got!r}, expected {expected!r}"
    print("ok  ", name)


def formats():
    query = "SELECT 1 AS n, 'a,\"b\"' AS t, NULL AS z, [1, 2] AS l"
    status, data = sql(query)
    answer = json.loads(data)
    check("json", (status, answer["rows"]), (200, [[1, 'a,"b"', None, [1, 2]]]))
    check("columns", [c["name"] for c in answer["columns"]], ["n", "t", "z", "l"])
    check("types", answer["columns"][0]["type"], "BIGINT")
    status, data = sql(query, "application/x-ndjson")
    check("ndjson", json.loads(data), {"n": 1, "t": 'a,"b"', "z": None, "l": [1, 2]})
    status, data = sql(query, "text/csv")
    check("csv", data.decode().splitlines(), ["n,t,z,l", '1,"a,""b""",,"[1,2]"'])
    status, data = sql("SELECT 1 AS n WHERE false", "text/csv")
    check("csv without rows", data.decode().splitlines(), ["n"])
    status, data = sql(query, "application/vnd.apache.arrow.stream")
    check("arrow", (status, data[:4]), (200, b"\xff\xff\xff\xff"))
    check("several statements", json.loads(sql("SELECT 1; SELECT 2")[1])["rows"], [[2]])
    check("nothing acceptable", sql(query, "image/png")[0], 406)


def parameters():
    def with_params(body):
        response, data = request("POST", "/sql", json.dumps(body), content_type="application/json")
        return response.status, json.loads(data)

    check("parameters", with_params({"sql": "SELECT $1 + 1, upper($2)", "params": [41, "x"]})[1]["rows"], [[42, "X"]])
    status, answer = with_params({"sql": "SELECT value FROM generate_series(1, 100000)", "max_rows": 3})
    check("max_rows", (answer["rows"], answer["truncated"]), ([[1], [2], [3]], True))
    check("a body that is no object", with_params([1])[0], 400)
    check("an unknown field", with_params({"sql": "SELECT 1", "parms": []})[0], 400)


def errors():
    for text, expected in [("SELEKT 1", 400), ("SELECT * FROM nowhere", 404), ("", 400), ("SELECT x FROM (SELECT 1 AS y)", 400)]:
        status, data = sql(text)
        error = json.loads(data)["error"]
        assert error["code"].startswith("LH"), error
        check(f"{text!r}: {error['code']} {error['message']}", status, expected)
    status, data = request("POST", "/sql", b"\xff\xfe", content_type="text/plain")
    check("not UTF-8", status.status, 400)
    response, data = request("GET", "/sql")
    check("GET /sql", (response.status, json.loads(data)["error"]["code"], response.getheader("allow")), (405, "LH0902", "POST"))
    response, data = request("GET", "/nowhere")
    check("nowhere", (response.status, json.loads(data)["error"]["code"]), (404, "LH0901"))
    response, _ = request("POST", "/sql", b" " * (17 << 20), content_type="text/plain")
    check("a body of 17 MiB", response.status, 413)


def broken_off():
    """An error after the first rows must not look like the end."""
    late = "SELECT 10 / (value - 300000) FROM generate_series(1, 400000)"
    for accept in ["application/json", "application/x-ndjson", "text/csv"]:
        connection = http.client.HTTPConnection(HOST, int(PORT), timeout=30)
        connection.request("POST", "/sql", late, {"accept": accept, "content-type": "text/plain"})
        response = connection.getresponse()
        if response.status != 200:
            print("ok   failed before the first row:", response.status, accept)
            continue
        try:
            response.read()
            raise AssertionError(f"{accept}: the body ended as if all were well")
        except http.client.IncompleteRead as error:
            tail = error.partial[-300:].decode(errors="replace")
            assert accept == "text/csv" or "LH" in tail, tail
            print("ok   broken off:", accept)


def streaming():
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=60)
    started = time.monotonic()
    connection.request("POST", "/sql", "SELECT value FROM generate_series(1, 2000000000)", {"accept": "application/x-ndjson"})
    response = connection.getresponse()
    line = response.readline()
    took = time.monotonic() - started
    connection.close()
    assert took < 5, took
    print(f"ok   first row of two billion after {took * 1000:.0f} ms", line)


def strangers():
    check("another Host", request("GET", "/api/status", host="evil.example")[0].status, 403)
    check("another Origin", request("POST", "/sql", "SELECT 1", origin="https://evil.example")[0].status, 403)
    check("no Origin", request("POST", "/sql", "SELECT 1")[0].status, 200)


def pages():
    response, data = request("GET", "/", accept="text/html")
    assert response.status == 200 and b"<!doctype html>" in data and b"{{" not in data
    assert "default-src 'none'" in response.getheader("content-security-policy")
    print("ok   the status page")
    check("the root for registry clients", json.loads(request("GET", "/")[1]), {})
    status = json.loads(request("GET", "/api/status")[1])
    assert {"topics", "tables", "groups", "doors", "totals"} <= status.keys(), status.keys()
    print("ok   /api/status")
    metrics = request("GET", "/metrics")[1].decode()
    assert "lakehead_http_requests_total{" in metrics, metrics
    for line in metrics.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0, line
    print("ok   /metrics")
    check("/healthz", json.loads(request("GET", "/healthz")[1])["status"], "ok")
    check("/openapi.json", json.loads(request("GET", "/openapi.json")[1])["info"]["title"], "Lakehead")


def main():
    formats()
    parameters()
    errors()
    broken_off()
    streaming()
    strangers()
    pages()
    print("http: all well")


if __name__ == "__main__":
    main()
