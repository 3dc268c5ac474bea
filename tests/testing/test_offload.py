"""Answers to the question whether a copy was offloaded."""

import pytest

from odx_target.testing import CommandFailed, running_array

MIB = 1 << 20
HOST = "iqn.2026-11.com.example:host"


def test_a_copy_by_token_is_counted() -> None:
    with running_array() as array:
        array.fill("a", size=MIB)
        report = array.host(HOST).copy("a", "b")
        offload = array.offload
        assert report.offloaded_bytes == 64 * MIB
        assert (offload.copied_bytes, offload.tokens, offload.writes, offload.refused) == (64 * MIB, 1, 1, ())
        assert not offload.fell_back
        assert array.digest("a") == array.digest("b")


def test_a_refusal_has_the_reason_in_words() -> None:
    with running_array() as array:
        host = array.host(HOST)
        token = host.populate_token("a")
        array.clock.advance(121)
        with pytest.raises(CommandFailed):
            host.write_using_token("b", token)
        with pytest.raises(CommandFailed):
            host.write_using_token("b", bytes(512))
        expired, unknown = array.offload.refused
        assert expired.command.operation == "WRITE USING TOKEN"
        assert expired.reason.startswith("invalid token operation, token expired: its inactivity timeout")
        assert unknown.reason != expired.reason
        assert str(expired) == f"WRITE USING TOKEN by {HOST}: {expired.reason}"
        assert str(array.offload).splitlines()[0] == "0 bytes copied by the array, 1 tokens, 2 refusals"


def test_an_injected_fault_is_the_reason() -> None:
    with running_array({"a": "1M", "b": "1M"}) as array, array.host(HOST) as host:
        token = host.populate_token("a")
        array.faults.add("command=write-using-token first=1 sense=token-expired", name="old")
        array.faults.add("copy=50% sense=third-party-device-failure", name="half")
        for _ in range(2):
            host.write_using_token("b", token, check=False)
        assert [each.reason for each in array.offload.refused] == [
            "invalid token operation, token expired: a fault was injected (fault rule old)",
            "third party device failure: a fault was injected (fault rule half)",
        ]
        lines = [str(each["explanation"]) for each in array.manage("refusals")["refusals"]]
        assert [line.partition(": ")[2] for line in lines] == [
            "a fault was injected (fault rule old) [5/23/07, SBC-4 5.55]. Disable or remove the fault rule.",
            "a fault was injected (fault rule half) [A/0D/01, SBC-4 5.55]. Disable or remove the fault rule.",
        ]


def test_a_command_that_a_personality_does_not_have_is_refused_with_its_reason() -> None:
    with running_array({"a": "1M"}, personality="tgt") as array, array.host(HOST) as host:
        with pytest.raises(CommandFailed):
            host.populate_token("a")
        (refused,) = array.offload.refused
        assert refused.reason == "invalid command operation code: this array does not have the command"


def test_a_host_that_falls_back_is_seen_with_its_bytes() -> None:
    with running_array(luns={"a": "1M", "b": "1M", "far": "1M"}, settings={"remote-luns": ["far"]}) as array:
        host = array.host(HOST)
        array.fill("far")
        report = host.copy("far", "b")
        offload = array.offload
        assert report.host_bytes == MIB
        assert offload.fell_back
        assert offload.read_after_refusal_bytes == offload.written_after_refusal_bytes == {HOST: MIB}
        (refused,) = offload.refused
        assert refused.command.operation == "POPULATE TOKEN"
        assert array.digest("far") == array.digest("b")


def test_reads_and_writes_without_a_refusal_are_no_fallback() -> None:
    with running_array(luns={"a": "1M", "b": "1M"}) as array:
        array.host(HOST).copy("a", "b", "host")
        assert not array.offload.fell_back
        assert array.offload.copied_bytes == 0


def test_many_refusals_keep_the_order_of_their_reasons() -> None:
    with running_array() as array:
        host = array.host(HOST)
        for lba in range(70):  # more than the copy manager keeps
            with pytest.raises(CommandFailed):
                host.populate_token("a", lba, 1 << 30)
        refused = array.offload.refused
        assert len(refused) == 70
        assert {refusal.command.operation for refusal in refused} == {"POPULATE TOKEN"}
        assert [refusal.command.ranges[0][0] for refusal in refused] == list(range(70))
