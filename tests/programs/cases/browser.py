"""chromium --headless on a local page: dozens of threads, a zygote, sandboxes, PartitionAlloc."""

import os
import pwd

from program_case import Case, missing_programs, write


class Chromium(Case):
    name = "chromium"
    explained = {"allocators_not_hooked": "its malloc is PartitionAlloc, linked into the program"}
    packages = ("chromium", "chromium-sandbox", "fonts-dejavu-core")
    least_processes = 4  # browser, zygotes, GPU process, renderer
    sandbox = ("--no-sandbox",)  # root has none
    arguments = ("--dump-dom",)

    def missing(self):
        return missing_programs("chromium")

    def prepare(self, work):
        write(f"{work}/page.html", """<!doctype html><meta charset=utf-8><title>page</title>
<style>body { font: 20px "DejaVu Sans"; background: linear-gradient(#fff, #8ac) }</style>
<canvas id=canvas width=300 height=200></canvas><ul id=list></ul><script>
const context = document.getElementById('canvas').getContext('2d');
for (let i = 0; i < 200; ++i) {
  context.fillStyle = `hsl(${i * 7}, 80%, 50%)`; context.fillRect(i, i / 2, 90, 50);
}
const list = document.getElementById('list');
for (let i = 0; i < 300; ++i) {
  const item = document.createElement('li');
  item.textContent = `item ${i} ${'x'.repeat(i % 40)} ${BigInt(i) ** 12n}`;
  list.append(item);
}
document.title = JSON.stringify([...document.querySelectorAll('li')].map(e => e.textContent.length)
  .reduce((sum, n) => sum + n));
</script>""")

    def command(self, work):
        return ["chromium", "--headless", *self.sandbox, "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--window-size=800,600", f"--user-data-dir={work}/profile",
                *self.arguments, f"file://{work}/page.html"]

    def left_out(self, path):
        return path.startswith(("profile/", "xdg/"))  # ids and times of a browser's profile

    def environment(self, work):
        return {"XDG_CONFIG_HOME": f"{work}/xdg", "XDG_CACHE_HOME": f"{work}/xdg"}

    def stderr(self, text):
        # "[pid:tid:date/time:ERROR:bus.cc]": what no desktop answers; how often is a matter of time.
        return b""


class ChromiumScreenshot(Chromium):
    name = "chromium png"
    arguments = ("--screenshot=page.png",)


class ChromiumSandbox(ChromiumScreenshot):
    """As an ordinary user: setuid or user-namespace sandbox, seccomp, an empty root."""
    name = "chromium user"
    sandbox = ()
    explained = {**ChromiumScreenshot.explained,
                 "processes_not_recorded": "chrome-sandbox is a setuid program"}
    runs_as = "nobody"
