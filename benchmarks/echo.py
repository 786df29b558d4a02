"""The bare echo: grpc.aio on uvloop that parses a check and answers one, with the service's options and nothing else.

`python -m benchmarks.echo` prints `gRPC 127.0.0.1:PORT` and serves until it is ended.
"""

import asyncio

import grpc
import uvloop

from benchmarks.messages import CHECK_SPEND, sample_answer
from outlay.v1 import budget_service_pb2 as pb

# The service's own, so that the two servers differ in what they do and not in how they are set.
from outlay_server.server.grpc_server import OPTIONS as SERVER_OPTIONS


async def _echo(
    request: pb.CheckSpendRequest, _: grpc.aio.ServicerContext[pb.CheckSpendRequest, pb.CheckSpendResponse]
) -> pb.CheckSpendResponse:
    answer = sample_answer()
    answer.granted_micros = request.amount_micros
    return answer


async def _serve() -> None:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    service, _, method = CHECK_SPEND.removeprefix("/").partition("/")
    handler = grpc.unary_unary_rpc_method_handler(
        _echo,
        request_deserializer=pb.CheckSpendRequest.FromString,
        response_serializer=pb.CheckSpendResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"gRPC 127.0.0.1:{port}\nready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
