'use strict';
// The call stacks of the peak, callers above what they call, as wide as what they own.

const kFrameHeight = 22;

class FlameGraph {
  constructor(section, onHover) {
    this.graph = section.querySelector('.graph');
    this.tools = section.querySelector('.tools');
    this.hint = section.querySelector('.hint');
    this.onHover = onHover;
    this.graph.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.graph);
  }

  show(space, rows) {
    const python = space.nodeFrame.some((frame) => frames[frame].python);
    const modes =
        [['own', 'Own code'], ...(python ? [['python', 'Python']] : []), ['all', 'All frames']];
    if (this.space !== space || !this.mode) this.mode = python ? 'python' : 'all';
    this.space = space;
    this.rows = rows;
    this.tools.replaceChildren(...modeButtons(modes, this.mode, (mode) => {
      this.mode = mode;
      this.show(space, rows);
    }));
    this.root = this.build();
    this.focus = this.root;
    this.draw();
  }

  shows(frame) {
    return this.mode === 'all' || frame.user || (this.mode === 'python' && frame.python);
  }

  build() {
    const make = (name, parent, frame) => ({
      name,
      parent,
      frame,
      bytes: 0,
      count: 0,
      children: new Map(),
      categories: new Map(),
      depth: parent ? parent.depth + 1 : 0
    });
    const root = make('all that lived at the peak');
    const add = (node, row) => {
      node.bytes += row.bytes;
      node.count += row.count;
      node.categories.set(row.category, (node.categories.get(row.category) ?? 0) + row.bytes);
    };
    for (const row of this.rows) {
      let node = root;
      add(root, row);
      const whole = row.stack < 0 ? [] : this.space.framesOf(row.stack);
      const shown = whole.filter((frame) => this.shows(frames[frame]));
      const path = shown.length ? shown : whole;
      const keys = path.length ? path : [row.stack < 0 ? 'stacks that each hold less' : 'no stack'];
      for (const key of keys) {
        if (!node.children.has(key)) {
          const frame = frames[key];
          node.children.set(key, make(frame ? shortNameOf(frame) : key, node, frame));
        }
        node = node.children.get(key);
        add(node, row);
      }
    }
    const settle = (node) => {
      node.children = [...node.children.values()].map(settle).sort((a, b) => b.bytes - a.bytes);
      return node;
    };
    return settle(root);
  }

  zoomTo(node) {
    this.focus = node;
    this.draw();
    this.graph.querySelector('[data-focus]')?.focus();
  }

  draw() {
    if (!this.root || this.graph.clientWidth === 0) return;
    const width = this.graph.clientWidth;
    const made = [];
    for (let node = this.focus.parent; node; node = node.parent)
      made.unshift(this.box(node, 0, width, true));
    const depth = this.place(this.focus, 0, width, made);
    const fill = element('div', {style: {height: `${(depth + 1) * kFrameHeight}px`}});
    const held = this.graph.contains(document.activeElement);
    this.graph.replaceChildren(fill, ...made);
    if (held) this.graph.querySelector('[data-focus]').focus({preventScroll: true});
    this.hint.textContent = this.focus === this.root ?
        'Callers stand above what they call; yellow is your own code; the strip below each frame shows its categories. A click zooms, Esc goes back.' :
        `${this.focus.name}: ${formatBytes(this.focus.bytes)} of ${
            formatBytes(this.root.bytes)}. Esc goes back.`;
  }

  // Returns the deepest level that was drawn.
  place(node, left, width, made) {
    if (width < 1.5) return node.depth - 1;
    made.push(this.box(node, left, width, false));
    let deepest = node.depth;
    let at = left;
    for (const child of node.children) {
      const wide = node.bytes > 0 ? (child.bytes / node.bytes) * width : 0;
      deepest = Math.max(deepest, this.place(child, at, wide, made));
      at += wide;
    }
    return deepest;
  }

  box(node, left, width, above) {
    const place = node.frame ? placeOf(node.frame) : '';
    const tip = () =>
        [element('b', {}, formatBytes(node.bytes)),
         ` · ${formatShare(node.bytes, this.root.bytes)} · ${
             plural(node.count, 'block', 'blocks')}`,
         element('br'), node.frame ? nameOfFrame(node.frame) : node.name,
         ...(node.frame ?
                 [
                   element('br'), node.frame.file || node.frame.module,
                   node.frame.line > 0 ? `:${node.frame.line}` : ''
                 ] :
                 [])];
    const text = node.frame && node.frame.file ? `${node.name} ${place}` : node.name;
    return element(
        'button', {
          type: 'button',
          class: `${node.frame?.user ? 'user' : ''} ${above ? 'above' : ''}`.trim() || undefined,
          'data-focus': node === this.focus,
          tabindex: node === this.focus ? 0 : -1,
          'aria-label':
              `${text}: ${formatBytes(node.bytes)}, ${formatShare(node.bytes, this.root.bytes)}`,
          style: {
            left: `${left}px`,
            top: `${node.depth * kFrameHeight}px`,
            width: `${Math.max(width - 0.5, 1)}px`
          },
          onclick: () => this.zoomTo(node),
          onpointermove: (event) => this.onHover(event, tip()),
          onpointerleave: () => this.onHover(),
        },
        width > 26 ? text : '', this.space.byCategory ? this.strip(node) : null);
  }

  strip(node) {
    let at = 0;
    const stops = [...node.categories].sort((a, b) => b[1] - a[1]).map(([category, bytes]) => {
      const from = at;
      at += node.bytes > 0 ? (bytes / node.bytes) * 100 : 0;
      return `var(--${category}) ${from.toFixed(2)}% ${at.toFixed(2)}%`;
    });
    return element('i', {style: {background: `linear-gradient(90deg, ${stops.join(', ')})`}});
  }

  // Arrows go to parent, largest child and siblings; Escape zooms out.
  key(event) {
    const siblings = this.focus.parent?.children ?? [];
    const place = siblings.indexOf(this.focus);
    const next = {
      ArrowUp: this.focus.parent,
      ArrowDown: this.focus.children[0],
      Escape: this.focus === this.root ? undefined : this.root,
      ArrowLeft: siblings[place - 1],
      ArrowRight: siblings[place + 1],
      Home: this.root,
    }[event.key];
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    this.zoomTo(next);
  }
}
