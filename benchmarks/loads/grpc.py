"""Unary checks and batches over grpc.aio, one channel a target."""

import grpc

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.messages import BATCH_CHECK_SPEND, CHECK_SPEND, check_request, metadata_of
from benchmarks.trial import Plan, Tenant, Trial, serve_plan
from outlay.v1 import budget_service_pb2 as pb

_CHANNEL_OPTIONS = (
    # A connection of its own for every channel of this process.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


async def run(plan: Plan) -> Trial:
    channels = [grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS) for target in plan.targets]
    load = _Load(channels, plan)
    try:
        return await measure(plan, load.batch if plan.batch_size else load.check, load.journal)
    finally:
        for channel in channels:
            await channel.close()


class _Load:
    def __init__(self, channels: list[grpc.aio.Channel], plan: Plan) -> None:
        self.journal = Journal(plan.expects)
        self._turns = Turns(plan.tenants, spread=plan.spread)
        self._batch_size = plan.batch_size
        self._metadata = {tenant.organization_id: metadata_of(tenant.key) for tenant in plan.tenants}
        self._checks = [
            channel.unary_unary(
                CHECK_SPEND,
                request_serializer=pb.CheckSpendRequest.SerializeToString,
                response_deserializer=pb.CheckSpendResponse.FromString,
            )
            for channel in channels
        ]
        self._batches = [
            channel.unary_unary(
                BATCH_CHECK_SPEND,
                request_serializer=pb.BatchCheckSpendRequest.SerializeToString,
                response_deserializer=pb.BatchCheckSpendResponse.FromString,
            )
            for channel in channels
        ]

    async def check(self, caller: int) -> int:
        turns = self._turns.take(1)
        if not turns:
            return 0
        tenant, amount_micros = turns[0]
        method = self._checks[caller % len(self._checks)]
        try:
            answer = await method(
                check_request(amount_micros), metadata=self._metadata[tenant.organization_id], timeout=30
            )
        except grpc.aio.AioRpcError as error:
            self.journal.failed(f"{error.code().name}: {error.details()}")
        else:
            self._enter(tenant, answer)
        return 1

    async def batch(self, caller: int) -> int:
        turns = self._turns.take(self._batch_size)
        if not turns:
            return 0
        tenant = turns[0][0]
        method = self._batches[caller % len(self._batches)]
        request = pb.BatchCheckSpendRequest(requests=[check_request(amount) for _, amount in turns])
        try:
            answer = await method(request, metadata=self._metadata[tenant.organization_id], timeout=30)
        except grpc.aio.AioRpcError as error:
            self.journal.failed(f"{error.code().name}: {error.details()}")
        else:
            for item in answer.responses:
                self._enter(tenant, item)
        return len(turns)

    def _enter(self, tenant: Tenant, answer: pb.CheckSpendResponse) -> None:
        if answer.decision == pb.DECISION_ALLOWED:
            self.journal.admitted(tenant.organization_id, answer.granted_micros)
        elif answer.decision == pb.DECISION_DENIED:
            self.journal.denied(tenant.organization_id, pb.DenialReason.Name(answer.reason))
        else:
            self.journal.failed(answer.error.message)


if __name__ == "__main__":
    serve_plan(run)
