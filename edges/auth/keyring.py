"""Keys of tokens as values. Every edge loads this; cryptography is loaded where a key is read. Pure."""

from dataclasses import field
from typing import TYPE_CHECKING

from bus.values import frozen

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["Key", "Keyring", "KeysUnavailable", "UnusableKey"]


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had at the moment, so a token can be neither taken nor refused."""


class UnusableKey(ValueError):
    """A key cannot be used; the sentence gives the reason and the remedy, and no part of the key."""


@frozen
class Key:
    """A key with its only algorithm; ``kid`` is the name in a JWKS."""

    algorithm: str
    material: "bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey" = field(repr=False)
    kid: str | None = None


@frozen
class Keyring:
    """Some keys, found by name."""

    keys: tuple[Key, ...] = ()

    def candidates(self, kid: str | None) -> tuple[Key, ...]:
        """Return the keys that may have signed a token whose header names ``kid``.

        An issuer may give any name to a key without a name here (a secret, a PEM file). A token without ``kid`` is
        tried with a named key only if there is just one.
        """
        nameless = tuple(key for key in self.keys if key.kid is None)
        named = tuple(key for key in self.keys if key.kid is not None)
        if kid is None:
            return nameless + (named if len(named) == 1 else ())
        return tuple(key for key in named if key.kid == kid) + nameless
