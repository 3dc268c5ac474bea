"""Tests of the limits of connections whose peers are not known yet."""

from contextlib import ExitStack

import pytest
import trio

from odx_target.replica.edge.greetings import MAX_GREETINGS, MAX_NETWORK_GREETINGS, Greetings, network_of


async def greet(greetings: Greetings, stack: ExitStack, network: str) -> trio.CancelScope:
    return stack.enter_context(greetings.greeting(network))


async def test_the_oldest_of_a_network_with_too_many_is_ended() -> None:
    greetings = Greetings()
    with ExitStack() as stack:
        first = await greet(greetings, stack, "one")
        others = [await greet(greetings, stack, "one") for _ in range(MAX_NETWORK_GREETINGS - 1)]
        other_network = await greet(greetings, stack, "other")
        assert not first.cancel_called
        await greet(greetings, stack, "one")
        assert first.cancel_called
        assert not any(each.cancel_called for each in [*others, other_network])
        assert len(greetings) == MAX_NETWORK_GREETINGS + 1
    assert len(greetings) == 0


async def test_if_all_together_are_too_many_the_oldest_of_the_largest_network_is_ended() -> None:
    greetings = Greetings()
    with ExitStack() as stack:
        small = [await greet(greetings, stack, f"small {number}") for number in range(MAX_GREETINGS - 2)]
        large = [await greet(greetings, stack, "large") for _ in range(2)]
        assert not any(each.cancel_called for each in [*small, *large])
        await greet(greetings, stack, "new")
        assert [each.cancel_called for each in large] == [True, False]
        assert not any(each.cancel_called for each in small)
        assert len(greetings) == MAX_GREETINGS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_networks_of_addresses(address: str, network: str) -> None:
    assert network_of(address) == network
