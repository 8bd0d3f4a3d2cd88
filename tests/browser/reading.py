"""What a reader of the site notices, measured in the page by scripts."""

from typing import Final

#: Keeps the errors of every page from its first line on in `window.troubles`.
WATCH: Final = """
window.troubles = [];
addEventListener("error", event => troubles.push(event.message));
addEventListener("unhandledrejection", event => troubles.push(String(event.reason)));
const log = console.error;
console.error = (...words) => { troubles.push(words.join(" ")); log(...words); };
"""

#: Returns the errors, the files that were not found, and those of other hosts.
TROUBLES: Final = """
const files = performance.getEntriesByType("resource");
return [
    ...troubles,
    ...files.filter(it => it.responseStatus >= 400).map(it => `${it.responseStatus} ${it.name}`),
    ...files.map(it => it.name).filter(name => !name.startsWith(location.origin)
        && !name.startsWith("data:")),
];
"""

#: Returns the texts that reach beyond the window, where nothing scrolls them into sight.
CUT_OFF: Final = """
const width = document.documentElement.clientWidth;

function isScrolled(element) {
    // An article could be scrolled as a whole; that is not wanted.
    const end = element.closest(".bd-article-container") ?? document.body;
    for (let it = element; it !== end; it = it.parentElement) {
        if (["auto", "scroll"].includes(getComputedStyle(it).overflowX)) {
            return true;
        }
    }
    return false;
}

const cut = new Set();
const range = document.createRange();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    range.selectNodeContents(walker.currentNode);
    if (text && range.getBoundingClientRect().right > width + 1
        && element.checkVisibility() && !element.closest("dialog") && !isScrolled(element)) {
        cut.add(text.slice(0, 60));
    }
}
return [...cut];
"""

#: Returns by how many pixels the page is wider than the window.
OVERFLOW: Final = """
const page = document.documentElement;
return page.scrollWidth - page.clientWidth;
"""

#: Returns the texts whose contrast with their ground is below 4.5:1, and the contrast.
FAINT: Final = """
const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});

function over(colours) {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

function luminance(colour) {
    const [r, g, b] = colour.map(it => it / 255)
        .map(it => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const grounds = new Map([[null, []]]);

function groundsOf(element) {
    if (!grounds.has(element)) {
        const colour = getComputedStyle(element).backgroundColor;
        const below = groundsOf(element.parentElement);
        grounds.set(element, colour === "rgba(0, 0, 0, 0)" ? below : [...below, colour]);
    }
    return grounds.get(element);
}

const measured = new Map();

function contrast(element) {
    const ground = groundsOf(element);
    const colour = getComputedStyle(element).color;
    const key = [colour, ...ground].join();
    if (!measured.has(key)) {
        const [a, b] = [luminance(over(ground)), luminance(over([...ground, colour]))];
        measured.set(key, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return measured.get(key);
}

const faint = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (text && element.checkVisibility() && contrast(element) < 4.5) {
        faint.add(`${text.slice(0, 40)} ${contrast(element).toFixed(2)}`);
    }
}
return [...faint];
"""
