'use strict';
// What the page shows: the report as --format json has it, and of each space what lived at the peak
// and usage over time. No drawing here.

// First value, then steps.
function undelta(list) {
  let sum = 0;
  return list.map((step) => (sum += step));
}

// Usage over time, with the largest sample of every run of samples at hand: levels of maxima, each
// half as long as the one below.
class Timeline {
  constructor(data) {
    this.columnNs = data.column_ns;
    this.times = undelta(data.times_ns);
    this.categories = data.categories;
    this.bytes = data.bytes.map(undelta);
    this.totals = this.times.map((_, i) => this.bytes.reduce((sum, list) => sum + list[i], 0));
    this.levels = [this.times.map((_, i) => i)];
    for (let below = this.levels[0]; below.length > 1;) {
      const level = [];
      for (let i = 0; i < below.length; i += 2) level.push(this.larger(below[i], below[i + 1]));
      this.levels.push(level);
      below = level;
    }
  }

  larger(a, b) { return b === undefined || this.totals[a] >= this.totals[b] ? a : b; }

  // The sample that holds at `time`; -1 before the first.
  at(time) {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time)
        low = middle + 1;
      else
        high = middle;
    }
    return low - 1;
  }

  // Of the samples first … last (both included) the one with most bytes; -1: none.
  largest(first, last) {
    let best = -1;
    const take = (i) => {
      best = best < 0 ? i : this.larger(best, i);
    };
    let level = 0;
    let from = Math.max(first, 0);
    let to = last;
    while (from <= to) {
      if (from & 1) take(this.levels[level][from++]);
      if (from > to) break;
      if (!(to & 1)) take(this.levels[level][to--]);
      if (from > to) break;
      from >>= 1;
      to >>= 1;
      ++level;
    }
    return best;
  }

  // The largest sample of the moments from … to (to not included).
  largestBetween(from, to) {
    const last = this.at(to - 1);
    const before = this.at(from);
    // A column belongs to where it begins; a change holds until the next.
    if (this.columnNs > 0 && last > before) return this.largest(before + 1, last);
    return this.largest(before, last);
  }

  get begin() { return this.times.length ? this.times[0] : 0; }
  get end() {
    return this.times.length ? this.times[this.times.length - 1] + Math.max(this.columnNs, 1) : 1;
  }
}

class Space {
  constructor(summary, detail) {
    Object.assign(this, summary);
    this.title = `${summary.layer} ${summary.space}`;
    this.timeline = new Timeline(detail.timeline);
    this.byCategory = detail.by_category;
    this.modelLayers = detail.layers;
    this.codeLines = detail.lines;
    this.stackNodes = detail.stacks;
    this.nodeParent = detail.nodes.parent;
    this.nodeFrame = detail.nodes.frame;
    const columns = detail.rows;
    this.rows = columns.bytes.map((bytes, i) => ({
                                    bytes,
                                    count: columns.count[i],
                                    stack: columns.stack[i],
                                    line: columns.line[i],
                                    layer: columns.layer[i],
                                    category: columns.category[i],
                                  }));
    this.layerPaths = new Map(this.modelLayers.map((layer, i) => [i, layer.path]));
  }

  // Outermost first.
  framesOf(stack) {
    const frames = [];
    for (let node = this.stackNodes[stack]; node >= 0; node = this.nodeParent[node]) {
      frames.push(this.nodeFrame[node]);
    }
    return frames.reverse();
  }

  isWithin(layer, outer) {
    for (; layer >= 0; layer = this.modelLayers[layer].parent)
      if (layer === outer) return true;
    return false;
  }

  selected(filter) {
    return this.rows.filter(
        (row) => (filter.category === undefined || row.category === filter.category) &&
            (filter.line === undefined || row.line === filter.line) &&
            (filter.stack === undefined || row.stack === filter.stack) &&
            (filter.layer === undefined || row.layer === filter.layer ||
             (filter.layer >= 0 && this.isWithin(row.layer, filter.layer))));
  }

  nameOf(kind, key) {
    if (kind === 'category') return words(key);
    if (kind === 'line') return key < 0 ? 'lines that each hold less' : this.codeLines[key].name;
    if (kind === 'layer') return key < 0 ? 'in no layer' : this.modelLayers[key].path;
    if (key < 0) return 'stacks that each hold less';
    return nameOfStack(this.framesOf(key));
  }
}

// Sums by one property of rows, most bytes first.
function sumBy(rows, kind) {
  const sums = new Map();
  for (const row of rows) {
    const sum = sums.get(row[kind]) ?? {key: row[kind], bytes: 0, count: 0};
    sum.bytes += row.bytes;
    sum.count += row.count;
    sums.set(row[kind], sum);
  }
  return [...sums.values()].sort((a, b) => b.bytes - a.bytes);
}

function totalOf(rows) { return rows.reduce((sum, row) => sum + row.bytes, 0); }

const page = {
  report: JSON.parse(document.getElementById('report-data').textContent),
  detail: JSON.parse(document.getElementById('detail-data').textContent),
};
const frames = page.detail.frames.map(
    ([fn, file, line, module, kind, role]) =>
        ({function: fn, file, line, module, python: kind === 'python', user: role === 'user'}));
const spaces = page.report.spaces.map((summary, i) => new Space(summary, page.detail.spaces[i]));

// Of a native function: parameters and template arguments say little in a box.
function shortName(name) {
  let depth = 0;
  let out = '';
  for (const c of name.startsWith('operator') ? name.replace(/\(.*/, '') : name) {
    if (c === '(' && depth === 0 && out !== '' && !name.startsWith('(') && !out.endsWith('::'))
      break;
    if (c === '<' && out !== '') ++depth;
    if (depth === 0) out += c;
    if (c === '>' && depth > 0) --depth;
  }
  return out || name;
}

function baseName(path) { return path.slice(path.lastIndexOf('/') + 1); }

function placeOf(frame) {
  if (frame.file)
    return frame.line > 0 ? `${baseName(frame.file)}:${frame.line}` : baseName(frame.file);
  return baseName(frame.module);
}

function nameOfFrame(frame) { return frame.function ? frame.function : '?'; }

function shortNameOf(frame) {
  return frame.python ? nameOfFrame(frame) : shortName(nameOfFrame(frame));
}

// By the innermost frame of the user's own, or the innermost.
function nameOfStack(path) {
  if (path.length === 0) return 'no stack';
  const inner = [...path].reverse();
  const frame = frames[inner.find((i) => frames[i].user) ?? inner[0]];
  const top = frames[inner[0]];
  const own = `${placeOf(frame)} ${shortNameOf(frame)}`;
  return frame === top ? own : `${own} › ${shortNameOf(top)}`;
}
