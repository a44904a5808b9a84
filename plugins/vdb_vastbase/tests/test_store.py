"""What the contract does not cover: the version among the lines that the engine tells."""

import pytest


@pytest.mark.parametrize(
    ("told", "version"),
    [
        (
            "(Vastbase G100 V2.2 (Build 19) Release) compiled\n version:V2.2 (Build 19)\n openGauss version:3.0.1",
            "2.2",
        ),
        ("(Vastbase G100 V3.0 (Build 9) Release) compiled at 2026\n patch:1\n openGauss version:5.0.0", "3.0"),
        ("(VexDB V3.0.0.3) compiled at 2026", "3.0.0.3"),
    ],
)
async def test_the_version_is_the_products(store, told, version):
    asked = store.asks_version.replace("vb_version()", "%s::text")
    assert await store._rows(asked, [told]) == [(version,)]
