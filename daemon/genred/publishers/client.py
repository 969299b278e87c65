"""What every connection to a broker needs: credentials, TLS, and errors told in plain words."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from genred.errors import (
    AccessError,
    ConfigError,
    GenredError,
    InputError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paho.mqtt.reasoncodes import ReasonCode

    from genred.settings.mqtt import BrokerAddress, MqttSettings

CREDENTIAL: Final = "mqtt-password"
"""The file's name in ``$CREDENTIALS_DIRECTORY`` (systemd's ``LoadCredential=``)."""

PASSWORD_VARIABLE: Final = "GENRED_MQTT_PASSWORD"  # noqa: S105 - a variable's name
"""The environment variable that may hold the password."""

PASSWORD_BYTES: Final = 65535
"""The longest password MQTT can carry; a larger file is not a password."""

CONNECT_TIMEOUT_S: Final = 5.0
"""For reaching a broker and for the TLS handshake. A broker that needs longer on a bad line is
tried again; a longer one would hold up the end of the daemon."""

NOT_ALLOWED: Final = frozenset({"Bad user name or password", "Not authorized"})
"""The reasons in a CONNACK (MQTT 3.1.1, 3.2.2.3: codes 4 and 5) that credentials can mend."""


class BrokerClient(paho.Client):
    """paho's client for one broker, which also says why a connection attempt failed.

    It speaks MQTT 3.1.1, which every broker in use understands. :attr:`failure` is what the last
    attempt failed of, None after one that reached the broker.
    """

    def __init__(self, address: BrokerAddress, client_id: str) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
        self.address = address
        self.failure: GenredError | None = None

    def reconnect(self) -> MQTTErrorCode:
        """Try once. Raises ``OSError`` only: anything else would end paho's network thread."""
        try:
            result = super().reconnect()
        except Exception as error:
            # In words at once: the error itself would keep the broken connection's socket open.
            self.failure = unreachable(self.address, error)
            if isinstance(error, OSError):
                raise
            raise OSError(str(error)) from error
        self.failure = None
        return result


def read_password(settings: MqttSettings, environ: Mapping[str, str]) -> str | None:
    """The broker's password, if there is one.

    From, in this order: the URL, the credential of systemd, the environment variable, the file.
    Raises :class:`AccessError` for a file that may not be read and :class:`InputError` for one
    that cannot be.
    """
    if settings.url_password is not None:
        return settings.url_password.get_secret_value()
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory and (credential := Path(directory) / CREDENTIAL).exists():
        return _read_secret(credential)
    if PASSWORD_VARIABLE in environ:
        return environ[PASSWORD_VARIABLE]
    if settings.password_file is not None:
        return _read_secret(settings.password_file)
    return None


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(PASSWORD_BYTES + 1)
        text = content.decode()
    except PermissionError:
        raise AccessError(
            f"{path} may not be read", "it holds the broker's password: give genred's user access"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", "it should hold the broker's password"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text", "it should hold the broker's password") from None
    text = text.rstrip("\r\n")
    if not text or len(content) > PASSWORD_BYTES:
        raise InputError(
            f"{path} is {'too long' if text else 'empty'}",
            "it should hold the broker's password and nothing else",
        )
    return text


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """How the broker's certificate is checked, and genred's own shown.

    Raises :class:`InputError` for a file that cannot be read, :class:`ConfigError` for one that
    is no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise _bad_pem(settings.ca_file, "ca_file", error) from None
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=_no_password)
        except OSError as error:
            raise _bad_pem(settings.cert_file, "cert_file or key_file", error) from None
    if settings.alpn is not None:
        context.set_alpn_protocols([settings.alpn])
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask on the terminal, and a service would wait for ever.
    raise ConfigError(
        "key_file is encrypted", "store the key without a passphrase, readable to genred alone"
    )


def _bad_pem(path: Path | None, key: str, error: OSError) -> GenredError:
    if isinstance(error, ssl.SSLError):
        return ConfigError(f"mqtt.{key}: {path} is not a usable PEM file", error.reason or "")
    return InputError(f"mqtt.{key}: {path}: {error.strerror}")


def make_client(
    settings: MqttSettings, client_id: str, environ: Mapping[str, str] | None = None
) -> BrokerClient:
    """A client with credentials and TLS, ready for callbacks, a will and a connection.

    Raises what :func:`read_password` and :func:`tls_context` raise, and :class:`ConfigError` when
    no broker is configured.
    """
    address = settings.address
    if address is None:
        raise ConfigError("no broker is configured", "set mqtt.url, or give --mqtt URL")
    client = BrokerClient(address, client_id)
    client.connect_timeout = CONNECT_TIMEOUT_S
    # A callback's own fault is logged there; it must not end the network thread.
    client.suppress_exceptions = True
    if settings.user is not None:
        password = read_password(settings, os.environ if environ is None else environ)
        client.username_pw_set(settings.user, password)
    if address.tls:
        client.tls_set_context(tls_context(settings))
    return client


def refused(address: BrokerAddress, reason: ReasonCode) -> GenredError:
    """What a refusal in the CONNACK means."""
    name = str(reason)
    if name in NOT_ALLOWED:
        return AccessError(
            f"{address} refuses: {name.lower()}",
            "check mqtt.username and the password, see mqtt.password_file",
        )
    return UnavailableError(f"{address} refuses: {name.lower()}")


def unreachable(address: BrokerAddress, error: Exception) -> GenredError:
    """What a failed attempt to connect means."""
    hint = ""
    match error:
        case ssl.SSLCertVerificationError():
            what = f"certificate not accepted: {error.verify_message}"
            hint = "set mqtt.ca_file to the authority that signed it, and use the name in it"
        case ssl.SSLError():
            what = f"no TLS connection: {error.reason or 'handshake failed'}"
            hint = "is this the broker's TLS port, and does it want a client certificate?"
        case socket.gaierror():
            what, hint = "the name is not known", "check mqtt.url"
        case TimeoutError():
            what = f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
        case ConnectionRefusedError():
            what, hint = "connection refused", "is the broker running?"
        case OSError(strerror=str(text)):
            what = text.lower()
        case _:
            what = "cannot connect"
    return UnavailableError(f"{address}: {what}", hint)
