#!/usr/bin/env python3
"""The page of `report --format html` in a headless Chromium, used as people use it: by mouse and
keys. What it shows is held against what the other faces say. --pictures FOLDER keeps screenshots.
"""

import argparse
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import agreement_test as faces
import browser

SKIPPED = 77  # tests/faces/CMakeLists.txt

# Every pixel column against the samples themselves, at the zoom of now.
COLUMNS_ARE_MAXIMA = """(() => {
    const view = views.timeline, line = view.line, pixels = 700;
    const step = (view.to - view.from) / pixels;
    return view.columns(pixels).every((sample, i) => {
        const [from, to] = [Math.ceil(view.from + i * step), Math.ceil(view.from + (i + 1) * step)];
        let most = -1;
        line.times.forEach((time, k) => {
            const until = line.times[k + 1] ?? Infinity;
            const within = line.columnNs > 0 ? time > from && time < to : time < to && until > from;
            if (within) most = Math.max(most, line.totals[k]);
        });
        if (most < 0) return line.columnNs > 0 || sample < 0;
        return sample >= 0 && line.totals[sample] === most;
    });
})()"""

# The colour above, on and below the top of the curve at the peak.
PEAK_PIXELS = """(() => {
    const view = views.timeline, canvas = view.canvas, pen = canvas.getContext('2d');
    const x = Math.round(view.xOf(view.space.peak_at_ns)) + 1;
    const height = canvas.clientHeight - 20 - (view.training ? 26 : 0) - 20;
    const at = y => [...pen.getImageData(x, 20 + Math.round(y * height), 1, 1).data].join();
    return {empty: at(-0.03), low: at(0.97)};
})()"""


class PageTest:
    def __init__(self, chromium, tidemark, folder, pictures):
        self.chromium = chromium
        self.tidemark = tidemark
        self.folder = folder
        self.pictures = pictures
        self.check = faces.Checks()

    def page_of(self, trace):
        out = self.folder / (trace.stem + ".html")
        subprocess.run([self.tidemark, "report", trace, "--format", "html", "-o", out], check=True)
        return out

    def show(self, trace, width=1400, height=1000):
        self.chromium.complaints.clear()
        self.chromium.open(self.page_of(trace), width, height)

    def js(self, expression):
        return self.chromium.js(expression)

    def text(self, selector):
        return self.js(f"document.querySelector({json.dumps(selector)}).innerText")

    def count(self, selector):
        return self.js(f"document.querySelectorAll({json.dumps(selector)}).length")

    def picture(self, name, whole=True):
        if self.pictures:
            (self.pictures / f"{name}.png").write_bytes(self.chromium.picture(whole))

    def no_complaints(self, where):
        self.check.same(f"{where}: errors and requests", self.chromium.complaints, [])

    # ---- what it shows

    def numbers(self, trace):
        """Every space, as the report's JSON and its text have it."""
        answers = faces.Faces(self.tidemark, trace)
        for space in answers.json["spaces"]:
            name = faces.name_of(space)
            self.chromium.click(f'#spaces [data-space="{name}"]')
            said = self.text("#verdict h2")
            self.check.true(f"page, {name}: {said}", said.startswith(
                f"{faces.format_bytes(space['peak_bytes'])} at the peak of {name} at "
                f"{faces.format_ns(space['peak_at_ns'])}"))
            legend = self.text(".legend")
            for one in space["categories"]:
                if one["bytes"]:
                    self.check.true(f"page, {name}: {one['category']}",
                                    faces.format_bytes(one["bytes"]) in legend)
            self.chromium.click("#owners [data-kind=line]")
            rows = self.js("""[...document.querySelectorAll('#owners tbody tr')].map(
                row => [...row.cells].map(cell => cell.innerText))""")
            shown = {(row[1], row[2], row[3]) for row in rows if len(row) == 4}
            for line in space["lines"]:
                self.check.true(f"page, {name}: {line['name']}", (
                    faces.format_bytes(line["bytes"]), f"{line['count']:,}", line["name"]) in shown)
            flame = self.js("views.flame.root.bytes")
            self.check.same(f"page, {name}: flame graph", flame, space["peak_bytes"])
            self.check.true(f"page, {name}: columns", self.js(COLUMNS_ARE_MAXIMA))
            for key in ("p", "+", "+", "ArrowRight", "-"):
                self.js("views.timeline.canvas.focus()")
                self.chromium.key(key)
                self.check.true(f"page, {name}: columns after {key}", self.js(COLUMNS_ARE_MAXIMA))
            self.chromium.key("0")
            pixels = self.js(PEAK_PIXELS)
            self.check.true(f"page, {name}: something is drawn", pixels["empty"] != pixels["low"])
        self.no_complaints(trace.name)

    def units(self):
        """Halves go to even, as {fmt} has it."""
        sizes = [0, 1023, 1024, 1152, 1280, 1024 * 9 + 1013, 10230, 102348, 1023 * 1024 + 511,
                 1023 * 1024 + 512, 1048575, 3 << 20, (1 << 40) - 1, 12345678901234]
        times = [0, 999, 1000, 1500, 999_999, 1_000_000, 999_999_499, 999_999_500, 17_425_811_000]
        for name, values, expected in (("formatBytes", sizes, faces.format_bytes),
                                       ("formatTime", times, faces.format_ns)):
            self.check.same(name, self.js(f"{json.dumps(values)}.map({name})"),
                            [expected(value) for value in values])

    def findings(self, trace):
        """Each is there with its line and bytes; a click on the line shows what it owned."""
        found = faces.Faces(self.tidemark, trace).json["findings"]
        cards = self.js("[...document.querySelectorAll('.finding')].map(card => card.innerText)")
        self.check.same(f"findings of {trace.name}", len(cards), len(found))
        for one, card in zip(found, cards):
            for part in (one["where"] or "", faces.format_bytes(one["bytes"]), one["evidence"], one["mend"]):
                self.check.true(f"finding of {trace.name}: {part}", part in card)
        if self.count(".finding .where:not([disabled])"):
            self.chromium.click(".finding .where:not([disabled])")
            self.check.same("its line is shown", self.count(".chip"), 1)
            self.chromium.key("Escape")

    # ---- what it does

    def selecting(self):
        """A click shows only that, everywhere; Escape shows all."""
        whole = self.js("totalOf(state.space.selected({}))")
        for selector in (".legend button:not([disabled])", "#treemap .map button", "#owners tbody tr"):
            self.chromium.click(selector)
            selected = self.js("totalOf(state.space.selected(state.filter))")
            self.check.same(f"{selector}: chips", self.count(".chip") >= 1, True)
            self.check.same(f"{selector}: flame graph", self.js("views.flame.root.bytes"), selected)
            self.check.true(f"{selector}: the title says so", self.text("#treemap-title").endswith(
                faces.format_bytes(selected)))
            self.chromium.key("Escape")
            self.check.same(f"{selector}: Escape", self.js("totalOf(state.space.selected(state.filter))"), whole)
            self.check.same(f"{selector}: no chip is left", self.count(".chip"), 0)

    def focus(self):
        """A key that picks something leaves the keyboard where it was."""
        self.js("document.querySelector('.legend button:not([disabled])').focus()")
        name = self.js("document.activeElement.textContent")
        self.chromium.key("Enter", "\r")
        self.check.same("Enter picks a category", self.count(".chip"), 1)
        self.check.same("and keeps its place", self.js("document.activeElement.textContent"), name)
        self.chromium.key("Escape")

    def tables(self):
        """Titles sort; arrow keys go from tab to tab; Enter picks a row."""
        self.chromium.click("#owners [data-kind=line]")
        self.chromium.key("ArrowRight")
        self.check.true("an arrow key opens the next tab",
                        self.js("document.activeElement.dataset.kind") != "line")
        self.chromium.click("#owners [data-kind=stack]")
        blocks = "[...document.querySelectorAll('#owners tbody tr')].map(row => Number(row.cells[2]?.innerText.replaceAll(',', ''))).filter(Boolean)"
        self.chromium.click("#owners thead th:nth-child(3) button")
        down = self.js(blocks)
        self.check.same("sorted down", down, sorted(down, reverse=True))
        self.chromium.click("#owners thead th:nth-child(3) button")
        up = self.js(blocks)
        self.check.same("sorted up", up, sorted(up))
        self.js("document.querySelector('#owners tbody tr').focus()")
        self.chromium.key("Enter")
        self.check.same("Enter picks", self.count(".chip"), 1)
        self.chromium.key("Escape")

    def flame(self):
        self.chromium.click("#flame [data-mode=all]")
        self.chromium.click("#flame .graph button", nth=2)
        focus = self.js("views.flame.focus.depth")
        self.check.true("a click zooms", focus > 0)
        self.check.true("and says so", "Esc goes back" in self.text("#flame .hint"))
        self.chromium.key("ArrowUp")
        self.check.same("up goes to the caller", self.js("views.flame.focus.depth"), focus - 1)
        self.chromium.key("ArrowDown")
        self.chromium.key("Escape")
        self.check.same("Escape goes back", self.js("views.flame.focus === views.flame.root"), True)

    def zoom(self):
        self.js("views.timeline.canvas.focus()")
        span = self.js("views.timeline.to - views.timeline.from")
        self.chromium.click("#timeline [data-do=in]")
        self.check.true("+ halves", abs(self.js("views.timeline.to - views.timeline.from") / span - 0.5) < 0.01)
        self.chromium.click("#timeline [data-do=all]")
        span = self.js("views.timeline.to - views.timeline.from")
        box = self.js("(({x, y, width}) => [x + width / 2, y + 80])(views.timeline.canvas.getBoundingClientRect())")
        self.chromium.call("Input.dispatchMouseEvent", type="mouseWheel", x=box[0], y=box[1], deltaX=0, deltaY=-100)
        self.check.true("the wheel zooms", self.chromium.until(
            f"views.timeline.to - views.timeline.from < {0.9 * span}"))
        self.chromium.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
        self.check.true("the pointer shows a number", self.chromium.until(
            "/^[0-9.]+ [KMGT]?i?B /.test(document.querySelector('#tip').innerText)"))
        self.chromium.click("#timeline [data-do=all]")

    def themes(self):
        seen = set()
        for scheme in ("light", "dark"):
            self.chromium.colours(scheme)
            self.chromium.settle()
            self.check.same("the system's colours", self.js("document.documentElement.dataset.theme"), scheme)
            seen.add(self.js("getComputedStyle(document.body).backgroundColor"))
        self.check.same("two themes", len(seen), 2)
        self.chromium.click("#theme")
        self.check.same("the switch", self.js("document.documentElement.dataset.theme"), "light")
        self.chromium.key("t", "t")
        self.check.same("its key", self.js("document.documentElement.dataset.theme"), "dark")
        self.chromium.key("t", "t")
        self.check.same("and back to the system's", self.text("#theme"), "System")
        self.chromium.colours("light")
        self.chromium.settle()

    def narrow(self, trace):
        for width in (390, 800):
            self.show(trace, width, 800)
            self.check.true(f"{width} pixels are enough",
                            self.js("document.documentElement.scrollWidth <= window.innerWidth"))
            self.no_complaints(f"{width} pixels")
            self.picture(f"{trace.stem}-{width}")

    def evil_names(self, trace):
        """Names of a trace that would be markup in a page that believes them."""
        evil = self.folder / "evil.db"
        shutil.copy(trace, evil)
        with sqlite3.connect(evil) as edit:
            for name in ("Block.forward", "train_step", "forward", "softmax_warp_forward", "c10"):
                edit.execute("update string set text = ? where text = ?",
                             (f"</script><script>window.harmed = 1</script><img src=x onerror='harmed=1'>{name}", name))
            edit.execute("update process set command = '<script>window.harmed = 1</script>'")
        edit.close()
        self.show(evil)
        self.numbers(evil)
        self.check.true("a name is shown as it is", "<script>" in self.text("#command"))
        self.check.true("so is that of a frame", "<script>window.harmed" in self.text("#flame"))
        self.check.same("no name ran", self.js("window.harmed ?? null"), None)
        self.check.same("no name is an element", self.count("img"), 0)
        self.no_complaints("evil names")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tidemark", required=True, type=pathlib.Path)
    parser.add_argument("--fixtures", required=True, type=pathlib.Path, help="make_fixtures")
    parser.add_argument("--pictures", type=pathlib.Path)
    parser.add_argument("traces", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    path = browser.find()
    if path is None:
        print(f"LEFT OUT: the page was not tested: none of {', '.join(browser.NAMES)} is installed "
              "(apt-get install chromium)")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="tidemark-page-") as name:
        folder = pathlib.Path(name)
        subprocess.run([options.fixtures.resolve(), folder], check=True)
        chromium = browser.Browser(path)
        try:
            test = PageTest(chromium, options.tidemark.resolve(), folder, options.pictures)
            for trace in [*(folder / f"{one}.db" for one in ("gpu", "cpu", "killed")), *options.traces]:
                test.show(trace)
                test.numbers(trace)
                test.findings(trace)
            test.show(folder / "empty.db")
            test.no_complaints("empty.db")
            test.check.true("an empty trace says so", "No allocation" in test.text("#verdict"))
            for trace in [folder / "gpu.db", *options.traces]:
                test.show(trace)
                test.units()
                for part in (test.selecting, test.focus, test.tables, test.flame, test.zoom, test.themes):
                    part()
                test.no_complaints(trace.name)
                test.picture(f"{trace.stem}-light")
                test.chromium.colours("dark")
                test.show(trace)
                test.picture(f"{trace.stem}-dark")
                test.chromium.colours("light")
                test.narrow(trace)
            test.evil_names(folder / "gpu.db")
        finally:
            chromium.close()
    print(f"{test.check.count} checks, {len(test.check.failed)} failed")
    print("\n".join(test.check.failed))
    return 1 if test.check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
