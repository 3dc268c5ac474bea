"""`odx-target replay`: repeat a recorded session, and compare the answers."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypedDict

import trio
import typer

from odx_target.cli.failure import CommandFailure, first_error
from odx_target.cli.serving import typer_parameters
from odx_target.cli.serving.logging import configure_logging
from odx_target.cli.serving.options import chap_settings_of
from odx_target.cli.text.json_output import Json, print_json
from odx_target.configured_pool import memory_parts, open_pool
from odx_target.initiator.errors import BadUrl, ConnectFailed
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.url import IscsiUrl, parse_url
from odx_target.replay.answer_streams import AnswerDifference
from odx_target.replay.array_replay import ReplayFailed, ReplayResult, replay_recording
from odx_target.replay.kept_commands import TooMuchData
from odx_target.replay.page import page
from odx_target.replay.recorded_settings import RecordedSettings, read_settings
from odx_target.replay.remote_replay import replay_remotely
from odx_target.store.api import StoreError
from odx_target.target.config.error import ConfigError
from odx_target.target.config.private_file import write_private
from odx_target.target.config.settings import Config
from odx_target.target.printable import printable
from odx_target.target.session_file.frame_reader import Recording, read_recording
from odx_target.target.session_file.frames import FrameKind, RecordingDamaged

_CHAP_OPTIONS = ("config", "chap_user", "chap_secret_file", "target_chap_user", "target_chap_secret_file")


class ReplayAnswer(TypedDict):
    """The result of a replay."""

    compared: Annotated[str, "number of steps or answers that were compared"]
    is_equal: Annotated[bool, "true if all answers are equal"]
    difference: Annotated[list[str] | None, "lines about the first answer that differs"]
    warnings: list[str]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("replay")(replay)


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recording that `odx-target serve --record FILE` has written.")],
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="Target to replay against: iscsi://HOST:PORT/IQN. Default: a new array."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Write a page with all decoded PDUs, which opens at the failed step.")
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Copy of the pool as it was when the recording began; the replay changes it."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Configuration file of the recorded array, for its CHAP users and secrets."),
    ] = None,
    chap_user: typer_parameters.ChapUser = None,
    chap_secret_file: typer_parameters.ChapSecretFile = None,
    target_chap_user: typer_parameters.TargetChapUser = None,
    target_chap_secret_file: typer_parameters.TargetChapSecretFile = None,
    as_json: Json = False,
) -> None:
    """Replay a recorded session, and compare the answers.

    A new array in this process gets the recorded inputs at the recorded times, with the recorded random numbers, and its
    answers are compared byte for byte. Another target gets the PDUs of the hosts, and its answers are compared field by field;
    values that a target chooses itself are mapped. The exit code is 1 if an answer differs.

    A recording has no CHAP secrets: give those of the recorded array.
    """
    given = dict(locals())
    secrets = chap_settings_of(config, given) if any(given[name] is not None for name in _CHAP_OPTIONS) else None
    if url is not None and secrets is not None:
        raise typer.BadParameter("a replay against another target has no CHAP secrets: its logins are those of the recording")
    if url is not None and (html is not None or pool is not None):
        raise typer.BadParameter("a replay against another target has no --html and no --pool")
    place = None if url is None else _target(url)
    try:
        recording = read_recording(file)
        settings = read_settings(recording.settings)
        if place is None:
            _report(*_replay_here(file, recording, settings, pool, html, secrets), as_json)
        else:
            result = trio.run(replay_remotely, recording, place.portal, place.target_name, connect_tcp)
            _report(f"{result.equal} answers", result.difference, _problems(recording, result.warnings), as_json)
    except* (RecordingDamaged, ReplayFailed, TooMuchData, ConnectFailed) as group:
        raise CommandFailure(f"{file}: {first_error(group)}") from None
    except* (StoreError, OSError, ConfigError, CommandFailure) as group:
        raise first_error(group) from None


def _replay_here(
    file: Path,
    recording: Recording,
    settings: RecordedSettings,
    pool: Path | None,
    html: Path | None,
    secrets: Config | None,
) -> tuple[str, AnswerDifference | None, list[str]]:
    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="odx-target-replay-") as temporary:
        in_memory = pool is None and settings.is_pool_in_memory
        directory = None if in_memory else pool or Path(temporary) / "pool"
        result: ReplayResult = trio.run(_replay, recording, directory, secrets)
    warnings = _problems(recording, result.warnings)
    if not settings.is_new_pool and pool is None:
        warnings.append("the pool had data when the recording began: give a copy of it with --pool")
    if html is not None:
        # Only its owner can read the page, because it has data and tokens as the recording has them.
        text = page(f"Replay of {file.name}", result._replace(warnings=warnings))
        write_private(html, text.encode(errors="backslashreplace"))
    return f"{len(result.steps)} steps", result.difference, warnings


async def _replay(recording: Recording, directory: Path | None, secrets: Config | None) -> ReplayResult:
    return await replay_recording(recording, partial(open_pool, memory=memory_parts()), pool_dir=directory, secrets=secrets)


def _problems(recording: Recording, warnings: Sequence[str]) -> list[str]:
    """Return the warnings about the file and about the replay."""
    found = [] if recording.problem is None else [recording.problem]
    last = recording.frames[-1]
    if last.kind is FrameKind.ENDED and "limit" in (reason := str(last.document().get("reason"))):
        found.append(reason)
    return [*found, *warnings]


def _report(compared: str, difference: AnswerDifference | None, warnings: Sequence[str], as_json: bool) -> None:
    if as_json:
        answer: ReplayAnswer = {
            "compared": compared,
            "is_equal": difference is None,
            "difference": None if difference is None else list(difference.lines()),
            "warnings": list(warnings),
        }
        print_json("replay", answer)
    else:
        for warning in warnings:
            typer.echo(f"note: {printable(warning)}", err=True)
        for line in () if difference is None else difference.lines():
            typer.echo(printable(line))
    if difference is not None:
        raise CommandFailure(f"the answers differ after {compared}")
    if not as_json:
        typer.echo(f"{compared}: all answers are equal")


def _target(url: str) -> IscsiUrl:
    """Read the URL of a target. A LUN at its end is allowed, and has no meaning. Raises typer.BadParameter."""
    try:
        return parse_url(url if url.count("/") > 3 else f"{url}/0")
    except BadUrl as error:
        raise typer.BadParameter(str(error)) from error
