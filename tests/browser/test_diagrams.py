"""The pictures of docs/concepts, as Chromium draws them."""

from pathlib import Path
from typing import cast

import pytest

from tests.browser.window import Browser

DIAGRAMS = sorted((Path(__file__).parents[2] / "docs/concepts/diagrams").glob("*.svg"))

#: Lists the texts that leave their box or the picture, or lie on something else.
FAULTS = """
const faults = [], [width, height] = document.documentElement.getAttribute('viewBox')
    .split(' ').slice(2).map(Number);
const frame = (element) => {
    const {x, y, width, height} = element.getBBox();
    return {left: x, top: y, right: x + width, bottom: y + height};
};
const within = (a, b, margin) => a.left >= b.left + margin && a.right <= b.right - margin
    && a.top >= b.top && a.bottom <= b.bottom;
const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 3 && b.top < a.bottom - 3;
const page = {left: 0, top: 0, right: width, bottom: height};
const texts = [...document.querySelectorAll('text')];
for (const text of texts) {
    const said = text.textContent, own = text.parentNode.querySelector(':scope.box > rect');
    if (!within(frame(text), page, 3)) faults.push('leaves the picture: ' + said);
    if (own && !within(frame(text), frame(own), 4)) faults.push('leaves its box: ' + said);
    for (const box of document.querySelectorAll('.box > rect')) {
        if (box !== own && meet(frame(text), frame(box)))
            faults.push('lies on a box: ' + said + ' on ' + box.parentNode.textContent);
    }
    for (const other of texts) {
        if (other !== text && meet(frame(text), frame(other)))
            faults.push('lies on another text: ' + said + ' on ' + other.textContent);
    }
}
return faults;
"""

#: The font sizes of all texts, in pixels of a picture that is as wide as a phone lets it be.
SIZES = """
const scale = arguments[0] / document.documentElement.viewBox.baseVal.width;
return [...document.querySelectorAll('text, tspan')]
    .map((each) => scale * parseFloat(getComputedStyle(each).fontSize));
"""

#: What a browser of 390 pixels leaves for a picture beside the margins of the site.
PHONE = "358"

GROUND = "return getComputedStyle(document.querySelector('rect.page')).fill"


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.stem)
def test_fits(browser: Browser, path: Path) -> None:
    """No text leaves its box or the picture, lies on another, or is too small on a phone."""
    browser.open(path.as_uri())

    assert browser.run(FAULTS) == []
    assert min(cast("list[float]", browser.run(SIZES, PHONE))) >= 13


def test_dark(browser: Browser) -> None:
    """A picture has dark colours where dark ones are preferred."""
    grounds = []
    for theme in ("light", "dark"):
        preferred = {"name": "prefers-color-scheme", "value": theme}
        browser.emulate("setEmulatedMedia", features=[preferred])
        browser.open(DIAGRAMS[0].as_uri())
        grounds.append(browser.run(GROUND))
    browser.emulate("setEmulatedMedia", features=[])

    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 24, 30)"]
