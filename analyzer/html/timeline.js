'use strict';
// Usage over time on a canvas: each pixel column shows its largest moment, told apart by category
// where that is known. Wheel and keys zoom, dragging moves.

// Round steps of bytes (1, 2, 5, 10, … 512 of a power of 1024) so that about `wanted` fit.
function byteSteps(most, wanted) {
  const rough = Math.max(most / wanted, 1);
  let unit = 1;
  while (rough / unit >= 1024) unit *= 1024;
  for (const step of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]) {
    if (step * unit >= rough) return step * unit;
  }
  return 1024 * unit;
}

function timeSteps(span, wanted) {
  const rough = Math.max(span / wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  for (const step of [1, 2, 5, 10])
    if (step * power >= rough) return step * power;
  return 10 * power;
}

// A tick as briefly as its step allows.
function tickText(ns, step) {
  const [unit, name] = step >= 1e9 ? [1e9, 's'] :
      step >= 1e6 && ns < 1e9      ? [1e6, 'ms'] :
      step >= 1e3 && ns < 1e6      ? [1e3, 'µs'] :
      ns >= 1e9                    ? [1e9, 's'] :
      ns >= 1e6                    ? [1e6, 'ms'] :
                                     [1e3, 'µs'];
  const decimals = Math.max(0, Math.ceil(Math.log10(unit / step)));
  return `${(ns / unit).toFixed(Math.min(decimals, 9))} ${name}`;
}

class TimelineView {
  constructor(section, onHover) {
    this.canvas = section.querySelector('canvas');
    this.hint = section.querySelector('.hint');
    this.onHover = onHover;
    const act = {in: () => this.zoom(0.5), out: () => this.zoom(2), all: () => this.showAll(),
      peak: () => this.showPeak()};
    for (const button of section.querySelectorAll('[data-do]')) {
      button.addEventListener('click', act[button.dataset.do]);
    }
    this.canvas.addEventListener('keydown', (event) => this.key(event));
    this.canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.timeAt(event.offsetX));
    }, {passive: false});
    this.canvas.addEventListener('pointerdown', (event) => this.drag(event));
    this.canvas.addEventListener('pointermove', (event) => this.hover(event));
    this.canvas.addEventListener('pointerleave', () => {
      this.cursor = undefined;
      this.onHover();
      this.draw();
    });
    this.canvas.addEventListener('dblclick', () => this.showAll());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  show(space, training) {
    this.space = space;
    this.line = space.timeline;
    this.training = training;
    this.showWork();
  }

  // ---- what is in view

  showAll() {
    const air = Math.max((this.line.end - this.line.begin) * 0.01, 1);
    this.view(this.line.begin - air, this.line.end + air);
  }

  // The training loop and some of what leads to it: before and after is mostly nothing.
  showWork() {
    const loop = this.training?.iterations ?? [];
    const [first, last] = [loop[0]?.begin_ns, loop.at(-1)?.end_ns];
    const from = Math.max(this.line.begin, first - (last - first) / 4);
    const at = this.space.peak_at_ns;
    if (loop.length && from <= at && at < last && last > this.line.begin) {
      this.view(from - (last - from) * 0.02, last + (last - from) * 0.05);
    } else {
      this.showAll();
    }
  }

  showPeak() {
    const at = this.space.peak_at_ns;
    const iteration =
        (this.training?.iterations ?? []).find((one) => one.begin_ns <= at && at < one.end_ns);
    const half = iteration ? (iteration.end_ns - iteration.begin_ns) * 0.6 :
                             (this.line.end - this.line.begin) / 20;
    const middle = iteration ? (iteration.begin_ns + iteration.end_ns) / 2 : at;
    this.view(middle - half, middle + half);
  }

  view(from, to) {
    const air = Math.max((this.line.end - this.line.begin) * 0.01, 1);
    const [begin, end] = [this.line.begin - air, this.line.end + air];
    const least = Math.min(Math.max(this.line.columnNs * 8, 100), end - begin);
    let width = Math.min(Math.max(to - from, least), end - begin);
    from = Math.min(Math.max(from, begin), end - width);
    this.from = from;
    this.to = from + width;
    this.draw();
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    this.view(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  key(event) {
    const step = (this.to - this.from) / 10;
    const keys = {
      ArrowLeft: () => this.view(this.from - step, this.to - step),
      ArrowRight: () => this.view(this.from + step, this.to + step),
      ArrowUp: () => this.zoom(0.5),
      ArrowDown: () => this.zoom(2),
      '+': () => this.zoom(0.5),
      '=': () => this.zoom(0.5),
      '-': () => this.zoom(2),
      0: () => this.showAll(),
      p: () => this.showPeak(),
      Home: () => this.showAll(),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  drag(event) {
    const [start, from, to] = [event.clientX, this.from, this.to];
    const perPixel = (to - from) / this.width;
    const move = (at) => {
      const by = (start - at.clientX) * perPixel;
      this.view(from + by, to + by);
    };
    const end = () => {
      window.removeEventListener('pointermove', move);
      window.removeEventListener('pointerup', end);
    };
    window.addEventListener('pointermove', move);
    window.addEventListener('pointerup', end);
  }

  // ---- drawing

  get width() { return this.canvas.clientWidth; }
  timeAt(x) { return this.from + (x / this.width) * (this.to - this.from); }
  xOf(time) { return ((time - this.from) / (this.to - this.from)) * this.width; }

  // The largest sample of each column of `pixels`; -1: nothing lives yet.
  columns(pixels) {
    const step = (this.to - this.from) / pixels;
    return Array.from(
        {length: pixels},
        (_, i) => this.line.largestBetween(
            Math.ceil(this.from + i * step), Math.ceil(this.from + (i + 1) * step)));
  }

  hover(event) {
    this.cursor = event.offsetX;
    const step = (this.to - this.from) / this.width;
    const from = this.timeAt(Math.floor(this.cursor));
    const sample = this.line.largestBetween(
        Math.ceil(from), Math.max(Math.ceil(from + step), Math.ceil(from) + 1));
    this.onHover(event, this.tipOf(sample));
    this.draw();
  }

  tipOf(sample) {
    if (sample < 0) return undefined;
    const {times, totals, categories, columnNs, bytes} = this.line;
    const when = columnNs > 0 ? `at most, ${formatTime(times[sample])} + ${formatTime(columnNs)}` :
                                `from ${formatTime(times[sample])}`;
    const tip = [element('b', {}, formatBytes(totals[sample])), ` ${when}`];
    const rows = categories.map((name, i) => [name, bytes[i][sample]])
                     .filter(([, sum]) => sum > 0)
                     .sort((a, b) => b[1] - a[1]);
    if (rows.length) {
      tip.push(element(
          'table', {},
          ...rows.map(
              ([name, sum]) => element(
                  'tr', {}, element('td', {}, swatch(name), words(name)),
                  element('td', {class: 'num'}, formatBytes(sum))))));
    }
    return tip;
  }

  draw() {
    if (!this.space || this.width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext('2d');
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const ribbon = this.training ? 26 : 0;
    const box = {top: 20, bottom: height - 20 - ribbon};
    pen.scale(ratio, ratio);
    pen.font = '11.5px system-ui, "DejaVu Sans", sans-serif';
    const most = Math.max(this.space.peak_bytes, 1);
    const yOf = (bytes) => box.bottom - (bytes / most) * (box.bottom - box.top);
    this.drawGrid(pen, colour, box, most, yOf, height);
    this.drawUsage(pen, colour, ratio, yOf, box);
    if (this.training) this.drawPhases(pen, colour, box.bottom + 3);
    this.drawPeak(pen, colour, box, yOf);
    if (this.cursor !== undefined) {
      pen.fillStyle = colour('text');
      pen.fillRect(Math.round(this.cursor), box.top, 1, box.bottom - box.top);
    }
    this.hint.textContent = `${formatTime(Math.round(Math.max(this.from, 0)))} to ${
                                formatTime(Math.round(this.to))}; ` +
        (this.line.columnNs > 0 ?
             `each step is the most of ${
                 formatTime(this.line.columnNs)}: tidemark view zooms to single events` :
             'every change is here') +
        '. Wheel or + and − zoom, drag or arrows move.';
  }

  drawGrid(pen, colour, box, most, yOf, height) {
    pen.fillStyle = colour('dim');
    pen.strokeStyle = colour('line');
    pen.lineWidth = 1;
    const step = byteSteps(most, 4);
    for (let bytes = 0; bytes <= most; bytes += step) {
      const y = Math.round(yOf(bytes)) + 0.5;
      pen.beginPath();
      pen.moveTo(0, y);
      pen.lineTo(this.width, y);
      pen.stroke();
    }
    pen.textAlign = 'center';
    const tick = timeSteps(this.to - this.from, Math.max(this.width / 130, 2));
    for (let time = Math.ceil(this.from / tick) * tick; time < this.to; time += tick) {
      const x = this.xOf(time);
      pen.fillRect(Math.round(x), box.bottom, 1, 3);
      if (x > 30 && x < this.width - 30) pen.fillText(tickText(time, tick), x, height - 5);
    }
    this.byteLabels = {step, most, yOf};
  }

  drawUsage(pen, colour, ratio, yOf, box) {
    const pixels = Math.round(this.width * ratio);
    const fills = this.line.categories.length ? this.line.categories.map((name) => colour(name)) :
                                                [colour('usage')];
    const columns = this.columns(pixels);
    const under = new Float64Array(pixels);
    fills.forEach((fill, i) => {
      pen.fillStyle = fill;
      const bytes = this.line.bytes[i];
      columns.forEach((sample, x) => {
        if (sample < 0 || bytes[sample] === 0) return;
        const top = yOf(under[x] + bytes[sample]);
        pen.fillRect(x / ratio, top, 1 / ratio, yOf(under[x]) - top);
        under[x] += bytes[sample];
      });
    });
    pen.fillStyle = colour('text');
    pen.textAlign = 'left';
    pen.strokeStyle = colour('card');
    pen.lineWidth = 3;
    for (let bytes = this.byteLabels.step; bytes <= this.byteLabels.most;
         bytes += this.byteLabels.step) {
      pen.strokeText(formatBytes(bytes), 4, yOf(bytes) - 4);
      pen.fillText(formatBytes(bytes), 4, yOf(bytes) - 4);
    }
  }

  drawPhases(pen, colour, top) {
    for (const phase of this.training.phases) {
      const from = Math.max(this.xOf(phase.begin_ns ?? this.line.begin), 0);
      const to = Math.min(this.xOf(phase.end_ns ?? this.line.end), this.width);
      if (to <= from) continue;
      pen.fillStyle = colour(phase.phase);
      pen.fillRect(from, top + 12, Math.max(to - from, 0.5), 8);
      if (to - from > 62) {
        pen.fillStyle = colour('dim');
        pen.textAlign = 'center';
        pen.fillText(phase.phase, (from + to) / 2, top + 9);
      }
    }
    pen.fillStyle = colour('text');
    this.training.iterations.forEach((iteration, i) => {
      const x = this.xOf(iteration.begin_ns);
      if (x < 0 || x > this.width) return;
      pen.fillRect(Math.round(x), top + 9, 1, 13);
      pen.textAlign = 'left';
      if (this.xOf(iteration.end_ns) - x > 20) pen.fillText(`${i + 1}`, x + 3, top + 9);
    });
  }

  drawPeak(pen, colour, box, yOf) {
    const x = this.xOf(this.space.peak_at_ns);
    if (x < 0 || x > this.width) return;
    const y = yOf(this.space.peak_bytes);
    pen.fillStyle = colour('text');
    pen.fillRect(Math.round(x), y, 1, box.bottom - y);
    pen.beginPath();
    pen.arc(x, y, 3.5, 0, 7);
    pen.fill();
    pen.textAlign = x > this.width - 130 ? 'right' : 'left';
    pen.fillText(
        `peak ${formatBytes(this.space.peak_bytes)}`, x + (pen.textAlign === 'left' ? 8 : -8), 13);
  }
}
