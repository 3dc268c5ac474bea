"""The URL of a source, and the name with which an import logs in. This loads no module of a session."""

from odx_target.initiator.errors import BadUrl
from odx_target.initiator.session.options import DEFAULT_INITIATOR_NAME as DEFAULT_INITIATOR_NAME
from odx_target.initiator.url import IscsiUrl, parse_url
from odx_target.migration.source import SourceRefused


def parse_source(text: str) -> IscsiUrl:
    """Read the URL of a source. Raises SourceRefused."""
    try:
        return parse_url(text)
    except BadUrl as error:
        raise SourceRefused(str(error)) from error
