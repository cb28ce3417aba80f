"""Every surface by its name: those of this package, and those that installed packages bring.

[project.entry-points."infusionlaw.surfaces"]
mine = "my_package.my_module:MY_SURFACE"
"""

from functools import cache
from importlib.metadata import entry_points

from infusionlaw.errors import InputError
from infusionlaw.law.surfaces.forms import (
    CHINCHILLA,
    CRITICAL_SHARE,
    DATA_CONSTRAINED,
    MIXTURE,
    OVER_TRAINING,
    SHARE_CURVE,
    Surface,
)
from infusionlaw.law.surfaces.mixtures import EXPONENTIAL_MIXING, OWN_TOKENS, POWER_MIXING
from infusionlaw.law.surfaces.scores import SCORE_BY_LOSS, SCORE_BY_SIZE

SURFACES: dict[str, Surface] = {
    surface.name: surface
    for surface in (
        *(CHINCHILLA, DATA_CONSTRAINED, OVER_TRAINING, MIXTURE, EXPONENTIAL_MIXING, POWER_MIXING, OWN_TOKENS),
        *(SHARE_CURVE, CRITICAL_SHARE, SCORE_BY_LOSS, SCORE_BY_SIZE),
    )
}


@cache
def known_surfaces() -> dict[str, Surface]:
    """All surfaces by name. Raises InputError where a package brings one whose name is taken."""
    found = dict(SURFACES)
    for entry in entry_points(group="infusionlaw.surfaces"):
        surface: Surface = entry.load()
        if surface.name in found:
            raise InputError(
                f'the surface "{surface.name}" of {entry.value} has the name of another; rename it, or uninstall its '
                "package"
            )
        found[surface.name] = surface
    return found


def mixtures() -> list[Surface]:
    """The surfaces over size, tokens and share."""
    return [surface for surface in known_surfaces().values() if set(surface.needs) == {"size", "tokens", "share"}]
