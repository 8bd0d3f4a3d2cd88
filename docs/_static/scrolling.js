// Tells the style sheet to which side a block of code or a table can be scrolled.

function mark(block) {
    const left = block.scrollLeft > 1;
    const right = block.scrollLeft + block.clientWidth < block.scrollWidth - 1;
    block.dataset.more = left && right ? "both" : left ? "left" : right ? "right" : "";
}

const resized = new ResizeObserver(entries => entries.forEach(entry => mark(entry.target)));
const blocks = ".bd-article .pst-scrollable-table-container, .bd-article div.highlight pre";
for (const block of document.querySelectorAll(blocks)) {
    block.addEventListener("scroll", () => mark(block), {passive: true});
    resized.observe(block);
}
