"""Calls the echo service of the tests with grpcio and prints what came, as JSON. Reads what to do from its stdin."""

import json
import sys
import threading

import grpc

call = json.load(sys.stdin)
options = [
    ("grpc.ssl_target_name_override", call["name"]),
    ("grpc.max_receive_message_length", -1),
]
patience = 20


def credentials():
    identity = call.get("identity", {})
    return grpc.ssl_channel_credentials(
        root_certificates=call["bundle"].encode(),
        private_key=identity.get("key", "").encode() or None,
        certificate_chain=identity.get("certificate", "").encode() or None,
    )


channel = grpc.secure_channel(f"127.0.0.1:{call['port']}", credentials(), options=options)
metadata = [("x-api-key", call["apiKey"])] if "apiKey" in call else []


def stub(kind, name):
    return getattr(channel, kind)(f"/test.Echo/{name}")


def failure(error):
    return {"code": error.code().name, "details": error.details()}


def failing(calling):
    try:
        calling()
    except grpc.RpcError as error:
        return failure(error)
    return {"code": "OK"}


def unary():
    more = metadata + [("x-list", "a"), ("x-list", "b"), ("x-raw-bin", bytes(range(256)))]
    reply, done = stub("unary_unary", "Unary").with_call(b"one", metadata=more, timeout=patience)
    initial = done.initial_metadata()
    return {
        "reply": reply.decode(),
        "list": [value for key, value in initial if key == "x-list"],
        "raw": [value == bytes(range(256)) for key, value in initial if key == "x-raw-bin"],
        "trailer": dict(done.trailing_metadata()).get("x-trailer"),
    }


def large():
    message = bytes(range(256)) * (4 * 1024 * 8)
    reply = stub("unary_unary", "Unary")(message, metadata=metadata, timeout=patience)
    return {"bytes": len(reply), "equal": reply == message}


def server_stream():
    messages = stub("unary_stream", "List")(b"xyz" * 100, metadata=metadata, timeout=patience)
    return b"".join(messages).decode()


def client_stream():
    pieces = (b"x" * size for size in range(200))
    return stub("stream_unary", "Sum")(pieces, metadata=metadata, timeout=patience).decode()


def ping_pong():
    """Sends a message only when the one before has come back."""
    turn = threading.Semaphore(1)
    got = []

    def questions():
        for number in range(20):
            turn.acquire()
            yield str(number).encode()

    for answer in stub("stream_stream", "Chat")(questions(), metadata=metadata, timeout=patience):
        got.append(int(answer))
        turn.release()
    return got


def fails():
    return failing(lambda: stub("unary_unary", "Fails")(b"", metadata=metadata, timeout=patience))


def breaks():
    got = []

    def read():
        for message in stub("unary_stream", "Breaks")(b"", metadata=metadata, timeout=patience):
            got.append(message.decode())

    return {**failing(read), "got": got}


def unary_status():
    return failing(lambda: stub("unary_unary", "Unary")(b"", metadata=metadata, timeout=patience))


def cancelled():
    """Breaks a call off in the middle of its conversation."""
    done = threading.Event()

    def questions():
        yield b"first"
        done.wait(patience)

    conversation = stub("stream_stream", "Chat")(questions(), metadata=metadata, timeout=patience)
    first = next(conversation).decode()
    conversation.cancel()
    outcome = failing(lambda: next(conversation))
    done.set()
    return {**outcome, "first": first}


def deadline():
    return failing(lambda: next(stub("unary_stream", "Hangs")(b"", metadata=metadata, timeout=1)))


def many():
    """Calls at once, on one connection."""
    echo = stub("unary_unary", "Unary")
    futures = [
        echo.future(str(number).encode(), metadata=metadata, timeout=patience)
        for number in range(100)
    ]
    return sum(future.result() == str(number).encode() for number, future in enumerate(futures))


json.dump({name: globals()[name]() for name in call["calls"]}, sys.stdout)
channel.close()
