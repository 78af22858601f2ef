"""docs/access.md: it names what there is."""

import re

from edges import EdgeSettings
from producers.services import NAMES, load
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/access.md").read_text("utf-8")


def test_every_setting_is_explained() -> None:
    """Each setting about tokens has its row, with its default."""
    for name, field in EdgeSettings.model_fields.items():
        if name.startswith("auth_") or name == "anonymous_permissions":
            assert f"| `{name}` |" in PAGE
            if isinstance(field.default, float | int):
                assert f"| `{name}` | {str(field.default).removesuffix('.0').lower()} |" in PAGE


def test_every_permission_is_explained() -> None:
    """Each permission that a family asks for is in the table of permissions."""
    wanted = {family.permission for service in NAMES for family in load(service).families if family.permission}
    assert wanted <= set(re.findall(r"`([a-z]+:read)`", PAGE))
