"""API keys of archives, from the environment or the keyring in which dandi keeps them; never asked for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from nwbswitch.schemas.errors import InputFileError


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key and where it was found."""

    text: str = field(repr=False)
    place: str


def key_variable(instance: str) -> str:
    """Return the environment variable in which dandi looks for the key of an instance.

    For one that is given by its address the name is host and port, which no shell can set; ``env`` can.
    """
    return f"{instance.upper().replace('-', '_')}_API_KEY"


def keyring_service(instance: str) -> str:
    """Return the name under which dandi keeps the key of an instance in the keyring."""
    return f"dandi-api-{instance}"


def find_key(instance: str) -> ApiKey | None:
    """Return the key of an instance, or None where there is none.

    A keyring that would ask for its password in the terminal is not opened; one of the desktop that is
    locked may show its own window.

    Raises
    ------
    InputFileError
        What stands there cannot be a key.
    """
    variable = key_variable(instance)
    if text := os.environ.get(variable, "").strip():
        return _checked(ApiKey(text, f"the environment variable {variable}"))
    service = keyring_service(instance)
    for text in (_held(backend, service) for backend in _backends()):
        if text:
            return _checked(ApiKey(text, f"the keyring ({service})"))
    return None


def _checked(key: ApiKey) -> ApiKey:
    # What is no header would be shown in the complaint of the library that sends it.
    if not re.fullmatch(r"[!-~]+", key.text):
        problem = "holds characters that an API key never has."
        raise InputFileError(key.place, problem, "Copy it again from the web pages of the archive.")
    return key


def _held(backend: Any, service: str) -> str:
    try:
        return (backend.get_password(service, "key") or "").strip()
    except Exception:
        # Backends of the system and of third parties fail in their own ways; to have no key is normal.
        return ""


def _backends() -> list[Any]:
    """Return the keyrings that dandi would look into, without those that ask in the terminal."""
    from keyring.core import get_keyring, load_config, load_env

    try:
        chosen = load_env() or load_config() or get_keyring()
    except Exception:
        # A keyring that is configured but not installed or not usable here.
        return []
    members = list(getattr(chosen, "backends", None) or [chosen])
    return [each for each in members if not hasattr(type(each), "keyring_key")]
