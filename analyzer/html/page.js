'use strict';
// Puts the page together: which space is shown, what is selected of it, and every section.

const tip = document.getElementById('tip');

function showTip(event, content) {
  tip.hidden = !content;
  if (!content) return;
  tip.replaceChildren(...content);
  const {offsetWidth: w, offsetHeight: h} = tip;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - w - 6))}px`;
  tip.style.top = `${
      event.clientY + 18 + h > window.innerHeight ? event.clientY - h - 10 : event.clientY + 18}px`;
}

// ---- light and dark

const theme = {
  // '' is as the system has it.
  choice: (() => {
    try {
      return localStorage.getItem('tidemark-theme') ?? '';
    } catch {
      return '';
    }
  })(),
  system: window.matchMedia('(prefers-color-scheme: dark)'),
  apply() {
    document.documentElement.dataset.theme =
        this.choice || (this.system.matches ? 'dark' : 'light');
    document.getElementById('theme')
        .textContent = {'': 'System', light: 'Light', dark: 'Dark'}[this.choice];
    views.timeline?.draw();
  },
  // The other one; then, where that is not what the system has, back to the system's.
  next() {
    const shown = document.documentElement.dataset.theme;
    const follows = shown === (this.system.matches ? 'dark' : 'light');
    this.choice = this.choice !== '' && follows ? '' : shown === 'dark' ? 'light' : 'dark';
    try {
      localStorage.setItem('tidemark-theme', this.choice);
    } catch {
      // A page without storage forgets it.
    }
    this.apply();
  },
};

// ---- what is shown

const state = {
  space: undefined,
  filter: {}
};
const views = {};

function setFilter(change) {
  state.filter = Object.fromEntries(
      Object.entries({...state.filter, ...change}).filter(([, value]) => value !== undefined));
  draw();
}

function chooseSpace(space) {
  state.space = space;
  state.filter = {};
  const mine = training();
  views.timeline.show(space, mine);
  draw();
}

function training() { return page.report.training; }

// What had the keyboard's focus is made anew: the focus goes to what takes its place.
function keepFocus(redraw) {
  const held = document.activeElement;
  const home = held.closest('main section, [role=tablist], #filters');
  const nameOf = (one) => one.getAttribute('aria-label') ?? one.textContent;
  redraw();
  if (!home || document.contains(held)) return;
  const places = [...home.querySelectorAll('button:not([disabled]), [tabindex="0"]')];
  const same = places.find((one) => nameOf(one) === nameOf(held));
  (same ?? places[0])?.focus({preventScroll: true});
}

function draw() { keepFocus(drawAll); }

function drawAll() {
  const {space, filter} = state;
  const rows = space.selected(filter);
  drawSpaces();
  drawFilters(rows);
  drawVerdict(space);
  document.getElementById('treemap-title').textContent =
      `At the peak: ${formatBytes(totalOf(rows))}`;
  views.treemap.show(space, rows);
  views.owners.show(space, rows, filter);
  views.flame.show(space, rows);
}

function drawSpaces() {
  const list = document.getElementById('spaces');
  list.replaceChildren(...ordered().map(
      (space) => element(
          'button', {
            type: 'button',
            role: 'tab',
            'aria-selected': String(space === state.space),
            tabindex: space === state.space ? 0 : -1,
            'data-space': space.title,
            onclick: () => {
              chooseSpace(space);
              list.querySelector('[aria-selected=true]').focus();
            },
          },
          element('b', {}, formatBytes(space.peak_bytes)), element('span', {}, space.title))));
}

// From what a training run dies of (the framework's pool) outwards.
function ordered() { return [...spaces].reverse(); }

function drawFilters(rows) {
  const {space, filter} = state;
  const chips = Object.entries(filter).map(
      ([kind, key]) => element(
          'button', {
            type: 'button',
            class: 'chip',
            title: 'Show all again',
            onclick: () => setFilter({[kind]: undefined}),
          },
          `${kind}: ${space.nameOf(kind, key)} ✕`));
  document.getElementById('filters').replaceChildren(
      ...(chips.length ?
              [
                element(
                    'span', {class: 'dim'},
                    `Shown: ${formatBytes(totalOf(rows))} of ${formatBytes(space.peak_bytes)}`),
                ...chips
              ] :
              []));
}

// ---- who owns the peak

function when(space) {
  const {cause} = space;
  if (!cause) return '';
  const phase = cause.phase + guessed(['forward', 'backward', 'optimizer'], cause.phase);
  if (cause.iteration === null) return training() ? `, in ${phase}` : '';
  return `, in ${phase} of iteration ${cause.iteration + 1}`;
}

// Where phases come from the rise and fall of memory alone: a program that trains nothing has those
// too.
function guessed(of, name) {
  return training() && page.report.training.phases_sureness === 'guess' && of.includes(name) ?
      ' (guess)' :
      '';
}

function sentences(space) {
  const said = [];
  const {cause, lines, peak_bytes: peak} = space;
  const most = space.categories.reduce(
      (a, b) => (b.bytes > a.bytes ? b : a), {category: 'unknown', bytes: 0});
  if (most.category !== 'unknown') {
    said.push([
      element('b', {}, formatShare(most.bytes, peak)),
      ` of it, ${formatBytes(most.bytes)}, is ${words(most.category)}${
          guessed(['parameter', 'gradient', 'optimizer_state', 'activation'], most.category)}.`
    ]);
  }
  if (lines.length) {
    const [line] = lines;
    const rest = cause && lines.length > 1 ?
        ` Without it the peak would be ${formatBytes(cause.without_largest_line.peak_bytes)}.` :
        '';
    said.push([
      element('b', {class: 'code'}, line.name),
      ` holds ${formatBytes(line.bytes)} in ${plural(line.count, 'block', 'blocks')}.${rest}`
    ]);
  }
  if (cause && cause.risen.length && cause.risen_bytes < peak) {
    said.push([
      `Rose last: ${formatBytes(cause.risen_bytes)} since ${
          formatTime(cause.rise_began_ns)}, most of it (${formatBytes(cause.risen[0].bytes)}) by `,
      element('b', {class: 'code'}, cause.risen[0].name), '.'
    ]);
  }
  if (space.leaked.count > 0) {
    said.push([`${formatBytes(space.leaked.bytes)} in ${
        plural(space.leaked.count, 'block', 'blocks')} were still held when their process ended.`]);
  }
  const pool = (page.report.pools ??
                []).find((one) => space.layer === 'pool' && space.space === `device:${one.device}`);
  if (pool && pool.peak_reserved_bytes > pool.peak_allocated_bytes) {
    said.push([
      `The pool held ${formatBytes(pool.peak_reserved_bytes)} of the device for it, `,
      `${
          formatShare(
              pool.peak_reserved_bytes - pool.peak_allocated_bytes,
              pool.peak_reserved_bytes)} of that more than was ever in use.`
    ]);
  }
  return said;
}

function drawVerdict(space) {
  const peak = space.peak_bytes;
  const shown = space.categories.filter((one) => one.bytes > 0).sort((a, b) => b.bytes - a.bytes);
  const pick = (one) =>
      (space.byCategory ?
           () => setFilter(
               {category: state.filter.category === one.category ? undefined : one.category}) :
           undefined);
  document.getElementById('verdict').replaceChildren(
      element(
          'h2', {}, `${formatBytes(peak)} at the peak of ${space.title}`,
          element('span', {class: 'when'}, ` at ${formatTime(space.peak_at_ns)}${when(space)}`)),
      element(
          'div', {class: 'stack-bar'},
          ...shown.map((one) => element('button', {
                         type: 'button',
                         style: {flex: String(one.bytes), background: `var(--${one.category})`},
                         onclick: pick(one),
                         disabled: !space.byCategory,
                         'aria-label': `${words(one.category)} ${formatBytes(one.bytes)}`,
                         onpointermove: (event) => showTip(
                             event,
                             [
                               element('b', {}, words(one.category)),
                               ` ${formatBytes(one.bytes)} · ${formatShare(one.bytes, peak)}`
                             ]),
                         onpointerleave: () => showTip(),
                       }))),
      element(
          'div', {class: 'legend', role: 'group', 'aria-label': 'Categories'},
          ...shown
              .map(
                  (one) =>
                      element(
                          'button', {
                            type: 'button',
                            'data-category': one.category,
                            'aria-pressed': String(state.filter.category === one.category),
                            onclick: pick(one),
                            disabled: !space.byCategory,
                          },
                          swatch(one.category), words(one.category), ' ',
                          element(
                              'span', {class: 'num dim'},
                              `${formatBytes(one.bytes)} · ${formatShare(one.bytes, peak)}`)))),
      element('ul', {}, ...sentences(space).map((said) => element('li', {}, ...said))));
}

// ---- what is said once

function drawFindings() {
  const list = page.report.findings ?? [];
  const section = document.getElementById('findings');
  section.hidden = list.length === 0;
  section.querySelector('.body').replaceChildren(...list.map(findingCard));
}

function findingCard(one) {
  const saves = one.peak_bytes - one.peak_without_bytes;
  const [unit, units] =
      one.seconds > 0 && one.space.startsWith('device') ? ['copy', 'copies'] : ['block', 'blocks'];
  const much = formatBytes(one.bytes) + (one.pattern === 'growth' ? ' an iteration' : '') +
      (one.count > 0 ? ` in ${plural(one.count, unit, units)}` : '');
  return element(
      'article', {class: 'finding'},
      element(
          'div', {class: 'what'},
          element('span', {}, `${words(one.pattern)} · ${one.layer} ${one.space}`),
          element('span', {class: 'num'}, much)),
      one.where ? whereButton(one) : null, element('div', {}, one.evidence),
      element('div', {class: 'mend'}, element('b', {}, 'Mend: '), one.mend),
      saves > 0 ?
          element(
              'div', {class: 'saves num'},
              `peak ${formatBytes(one.peak_bytes)} → ${formatBytes(one.peak_without_bytes)}`) :
          null,
      one.seconds > 0 ? element(
                            'div', {class: 'saves num'},
                            `${formatTime(Math.round(one.seconds * 1e9))} to be won`) :
                        null);
}

// The line of a finding; a click shows what it owned at the peak.
function whereButton(one) {
  const space = spaces.find((other) => other.layer === one.layer && other.space === one.space);
  const line = space?.codeLines.findIndex((code) => code.name === one.where) ?? -1;
  return element(
      'button', {
        type: 'button',
        class: 'where code',
        title: one.file ? `${one.file}${one.line ? `:${one.line}` : ''}` : undefined,
        disabled: line < 0,
        onclick: () => {
          if (state.space !== space) chooseSpace(space);
          setFilter({line});
        },
      },
      breakable(one.where));
}

function drawHead() {
  const {report} = page;
  const command = document.getElementById('command');
  command.textContent = report.command ?? page.detail.path;
  command.title = `${report.command ?? ''}\n${page.detail.path}`;
  const facts = [
    page.detail.path, formatTime(report.span_ns),
    plural(report.processes.length, 'process', 'processes'),
    plural(report.threads, 'thread', 'threads')
  ];
  const names = {
    allocation: ['allocation', 'allocations'],
    free: ['free', 'frees'],
    transfer: ['copy', 'copies'],
    kernel: ['kernel', 'kernels']
  };
  for (const [kind, [one, many]] of Object.entries(names)) {
    if (report.events[kind] !== undefined) facts.push(plural(report.events[kind], one, many));
  }
  if (report.training) {
    const warm = report.training.iterations.filter((one) => one.warm_up).length;
    facts.push(`${plural(report.training.iterations.length, 'iteration', 'iterations')}${
        warm ? `, ${warm} to warm up` : ''}`);
  }
  document.getElementById('facts').textContent = facts.join(' · ');
  const out = report.out_of_memory.map(
      (one) => element(
          'p', {class: 'remark bad'},
          `Out of memory at ${formatTime(one.time_ns)}: ${
              formatBytes(one.requested_bytes)} asked for${
              one.device === null ? '' : ` on device:${one.device}`}` +
              (one.reserved_bytes ? `; the pool held ${formatBytes(one.reserved_bytes)}` : '')));
  document.getElementById('remarks').replaceChildren(
      ...out, ...report.remarks.map((text) => element('p', {class: 'remark'}, text)));
}

function boot() {
  document.getElementById('theme').addEventListener('click', () => theme.next());
  theme.system.addEventListener('change', () => theme.apply());
  document.getElementById('spaces').addEventListener(
      'keydown', (event) => rove(event, document.getElementById('spaces')));
  document.addEventListener('keydown', (event) => {
    if (event.target.closest('input') || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') {
      state.filter = {};
      if (state.space) draw();
    }
    if (event.key === 't') theme.next();
  });
  theme.apply();
  drawHead();
  drawFindings();
  drawAdvice();
  drawMore(document.getElementById('more'));
  const drawn = ['verdict', 'timeline', 'treemap', 'owners', 'flame'];
  if (!spaces.length) {
    for (const id of drawn.slice(1)) document.getElementById(id).hidden = true;
    document.getElementById('verdict').replaceChildren(
        element('h2', {}, 'No allocation was recorded'));
    return;
  }
  views.timeline = new TimelineView(document.getElementById('timeline'), showTip);
  views.treemap = new Treemap(document.getElementById('treemap'), setFilter, showTip);
  views.owners = new OwnersTable(document.getElementById('owners'), setFilter);
  views.flame = new FlameGraph(document.getElementById('flame'), showTip);
  // Whose peak a training run dies of: of the innermost layer, the largest.
  const innermost = spaces.filter((space) => space.layer === spaces[spaces.length - 1].layer);
  chooseSpace(innermost.reduce((a, b) => (b.peak_bytes > a.peak_bytes ? b : a)));
}

boot();
