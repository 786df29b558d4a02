"""Functions that are checked before they run and settled after."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from outlay_client.aio import AsyncClient
from outlay_client.client import Client
from outlay_client.gates.price import Price

P = ParamSpec("P")
R = TypeVar("R")


def metered(
    client: Client | AsyncClient, price: Price | Callable[P, Price]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a function inside `client.spend`: coroutine functions with an `AsyncClient`, others with a `Client`.

    `price` may be computed from the function's arguments. The function says by `current_spend().record(…)` what it
    cost; without that it cost what was granted. Calls raise `Denied` and `Unavailable` instead of running it.
    """

    def price_of(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        return (price if isinstance(price, Price) else price(*args, **kwargs)).arguments()

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            # It would return before it did anything, and be settled then.
            raise TypeError("a generator cannot be metered; use `spend` inside it")
        if inspect.iscoroutinefunction(function):
            if not isinstance(client, AsyncClient):
                raise TypeError("a coroutine function needs an AsyncClient")

            @functools.wraps(function)
            async def metered_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                async with client.spend(**price_of(*args, **kwargs)):
                    return await function(*args, **kwargs)

            return cast(Callable[P, R], metered_coroutine)
        if not isinstance(client, Client):
            raise TypeError("a function that is no coroutine needs a Client")

        @functools.wraps(function)
        def metered_function(*args: P.args, **kwargs: P.kwargs) -> R:
            with client.spend(**price_of(*args, **kwargs)):
                return function(*args, **kwargs)

        return metered_function

    return decorate
