"""The settings of a recorded array."""

from dataclasses import replace
from typing import Any, NamedTuple

from odx_target.target.access.targets import portals_of
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.session_file.frames import MAX_TIME_S, Frame, RecordingDamaged
from odx_target.target.session_file.settings_codec import decode_settings


class RecordedSettings(NamedTuple):
    """The settings of a recorded array. `portals` are the actual addresses of its portals."""

    config: Config
    portals: list[Portal]
    clock_mode: ClockMode
    origin_s: float
    wall_origin_s: float
    seed: bytes
    has_chap: bool
    is_new_pool: bool
    is_pool_in_memory: bool
    versions: dict[str, Any]


def read_settings(frame: Frame) -> RecordedSettings:
    """Return the settings in a frame. Raises RecordingDamaged."""
    values = frame.document()
    try:
        config = decode_settings(values["settings"])
        clock = values["clock"]
        found = RecordedSettings(
            _with_luns(config, values["luns"]),
            [Portal(str(host), int(port)) for host, port in values["portals"]],
            ClockMode(clock["mode"]),
            _seconds(clock["origin_s"]),
            _seconds(clock["wall_origin_s"]),
            bytes.fromhex(values["seed"]),
            bool(values["has_chap"]),
            bool(values["is_new_pool"]),
            bool(values["is_pool_in_memory"]),
            dict(values["versions"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordingDamaged(f"the settings of the recording cannot be used: {error}") from error
    if found.clock_mode is ClockMode.REAL or len(found.portals) != len(portals_of(config)):
        raise RecordingDamaged("the settings of the recording cannot be used: the clock or the portals do not fit")
    return found


def with_secrets(config: Config, secrets: Config) -> Config:
    """Return recorded settings with the CHAP users and secrets of other settings. Targets are found by their names."""
    given = {target.iqn: target for target in secrets.targets}
    targets = tuple(
        replace(target, chap_users=given[target.iqn].chap_users, target_chap=given[target.iqn].target_chap)
        if target.iqn in given
        else target
        for target in config.targets
    )
    return replace(config, chap_users=secrets.chap_users, target_chap=secrets.target_chap, targets=targets)


def _seconds(value: Any) -> float:
    found = float(value)
    if not 0 <= found <= MAX_TIME_S:
        raise ValueError(f"{found} is no time")
    return found


def _with_luns(config: Config, luns: list[dict[str, Any]]) -> Config:
    """Return settings with all LUNs that the recorded array had, because a new pool has none by itself."""
    known = {lun.name: lun for lun in config.luns}
    found = []
    for lun in luns:
        size_bytes = int(lun["blocks"]) * int(lun["block_bytes"])
        given = known.get(lun["name"]) or LunConfig(str(lun["name"]), size_bytes, int(lun["block_bytes"]))
        found.append(replace(given, size_bytes=size_bytes, grows=False))
    return replace(config, luns=tuple(found))
