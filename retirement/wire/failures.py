"""What went wrong with a request, in httpx' exceptions, which `reply` judges.

By one rule: before the first byte of a request is written it was not sent, and afterwards it may have been done. The
texts are ours, for those of aiohttp have addresses, and paths have names of learners.
"""

import ssl

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

_Meaning = tuple[type[BaseException], type[httpx.TransportError], str]
#: What it means when no byte has been written; the first that fits.
_NOT_SENT: tuple[_Meaning, ...] = (
    (aiohttp.ClientHttpProxyError, httpx.ProxyError, "the proxy refused"),
    # By this word `translate` knows a machine that is not trusted.
    (ssl.SSLCertVerificationError, httpx.ConnectError, "CERTIFICATE_VERIFY_FAILED"),
    (TimeoutError, httpx.ConnectTimeout, "no connection in time"),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol, "neither http nor https"),
    (ValueError, httpx.LocalProtocolError, "no address, or no header"),
    (aiohttp.ClientError, httpx.ConnectError, "no connection"),
    (OSError, httpx.ConnectError, "no connection"),
)
#: What it means afterwards.
_SENT: tuple[_Meaning, ...] = (
    (TimeoutError, httpx.ReadTimeout, "no answer in time"),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError, "closed without an answer"),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "closed, or garbled, within the answer"),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, "no answer of HTTP"),
    (HttpProcessingError, httpx.RemoteProtocolError, "no answer of HTTP"),
    (aiohttp.ClientConnectionResetError, httpx.WriteError, "closed while the request was written"),
    (aiohttp.ClientError, httpx.ReadError, "broken before the answer was whole"),
    (OSError, httpx.ReadError, "broken before the answer was whole"),
    (ValueError, httpx.RemoteProtocolError, "no answer of HTTP"),
)


def meaning_of(error: Exception, *, is_sent: bool) -> Exception:
    """The exception to raise for one of the HTTP library; one that is none of its own is a defect, and stays."""
    table = _SENT if is_sent else _NOT_SENT
    return next((kind(text) for found, kind, text in table if isinstance(error, found)), error)
