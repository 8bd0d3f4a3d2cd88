// How the search of the site orders what it finds; Sphinx puts this before its own searchtools.js.

// What is added for a page: the first line with which its name begins counts. Without these, pages
// of equal score would stand in the order of their titles.
const weights = [
    ["how-to/index", 0],
    ["troubleshooting", 8],
    ["how-to/from-ocaml", -6],
    ["how-to/", 6],
    ["install", 6],
    ["tutorial/", 4],
    ["project/", -8],
    ["concepts/architecture", -8],
    ["security/asvs", -8],
    ["security/hostile-input", -8],
];

/** Return the title of a section, or nothing if the anchor is none of a section. */
function titleOf(page, anchor) {
    const index = Search._index;
    const number = index.docnames.indexOf(page);
    const [title] = Object.entries(index.alltitles).find(([, places]) =>
        places.some(([file, id]) => file === number && id === anchor)) ?? [];
    return title === index.titles[number] ? undefined : title;
}

var Scorer = {
    score(result) {
        const [page, title, anchor, , score, , kind] = result;
        if (kind === "index") {
            const section = titleOf(page, anchor.slice(1));
            if (section) {
                result[1] = `${title} > ${section}`; // as Sphinx names a section that it finds
            }
            return score; // a person chose these: search.toml
        }
        return score + (weights.find(([start]) => page.startsWith(start))?.[1] ?? 0);
    },

    // These are the figures of Sphinx.
    objNameMatch: 11,
    objPartialMatch: 6,
    objPrio: {0: 15, 1: 5, 2: -5},
    objPrioDefault: 0,
    title: 15,
    partialTitle: 7,
    term: 5,
    partialTerm: 2,
};
