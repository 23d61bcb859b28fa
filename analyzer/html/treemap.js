'use strict';
// Rows of the peak as nested rectangles whose areas are bytes.

// Rectangles for `values` (descending, positive) in a box, each as near to a square as rows of them
// allow. Returns [{x, y, w, h}] in the order of the values.
function squarify(values, box) {
  const placed = [];
  let left = values.reduce((sum, value) => sum + value, 0);
  let {x, y, w, h} = box;
  // The worst ratio of sides of values[from … to) in a row along `side`.
  const worst = (from, to, side, scale) => {
    let sum = 0;
    for (let i = from; i < to; ++i) sum += values[i] * scale;
    const thick = sum / side;
    const ratio = (area) => Math.max(thick / (area / thick), area / thick / thick);
    return Math.max(ratio(values[from] * scale), ratio(values[to - 1] * scale));
  };
  for (let from = 0; from < values.length;) {
    const scale = left > 0 ? (w * h) / left : 0;
    const side = Math.min(w, h);
    let to = from + 1;
    if (scale > 0 && side > 0) {
      while (to < values.length && worst(from, to + 1, side, scale) <= worst(from, to, side, scale))
        ++to;
    }
    let sum = 0;
    for (let i = from; i < to; ++i) sum += values[i];
    const thick = side > 0 ? (sum * scale) / side : 0;
    let at = 0;
    for (let i = from; i < to; ++i) {
      const length = sum > 0 ? (values[i] / sum) * side : 0;
      placed.push(
          w <= h ? {x: x + at, y, w: length, h: thick} : {x, y: y + at, w: thick, h: length});
      at += length;
    }
    if (w <= h) {
      y += thick;
      h -= thick;
    } else {
      x += thick;
      w -= thick;
    }
    w = Math.max(w, 0);
    h = Math.max(h, 0);
    left -= sum;
    from = to;
  }
  return placed;
}

// A tree of rows by what `pathOf` says of each; a node with a single child is one with it.
function treeOf(rows, pathOf) {
  const root = {name: '', bytes: 0, children: new Map(), filter: {}};
  for (const row of rows) {
    let node = root;
    node.bytes += row.bytes;
    for (const step of pathOf(row)) {
      if (!node.children.has(step.name)) {
        node.children.set(step.name, {
          name: step.name,
          bytes: 0,
          children: new Map(),
          filter: step.filter,
          category: step.category
        });
      }
      node = node.children.get(step.name);
      node.bytes += row.bytes;
    }
  }
  const settle = (node) => {
    node.children = [...node.children.values()].map(settle).sort((a, b) => b.bytes - a.bytes);
    const only = node.children.length === 1 ? node.children[0] : undefined;
    if (only === undefined || node.name === '') return node;
    return {
      ...only,
      name: only.category && !only.children.length ? node.name : `${node.name} › ${only.name}`,
      filter: only.filter
    };
  };
  return settle(root);
}

class Treemap {
  constructor(section, onFilter, onHover) {
    this.map = section.querySelector('.map');
    this.tools = section.querySelector('.tools');
    this.onFilter = onFilter;
    this.onHover = onHover;
    this.mode = 'layer';
    new ResizeObserver(() => this.draw()).observe(this.map);
  }

  show(space, rows) {
    const layers = space.rows.some((row) => row.layer >= 0);
    const modes = [
      ...(layers ? [['layer', 'Layer']] : []),
      ...(space.byCategory ? [['category', 'Category']] : []), ['line', 'Line']
    ];
    if (!modes.some(([mode]) => mode === this.mode) || this.space !== space)
      this.mode = modes[0][0];
    this.space = space;
    this.rows = rows;
    this.tools.replaceChildren(...modeButtons(modes, this.mode, (mode) => {
      this.mode = mode;
      this.show(space, rows);
    }));
    this.draw();
  }

  // From the outermost group to the category, which gives the colour.
  pathOf(row) {
    const {space} = this;
    const last = {
      name: space.byCategory ? words(row.category) : 'all',
      category: space.byCategory ? row.category : 'usage',
      filter: {...(space.byCategory ? {category: row.category} : {})}
    };
    const line = {name: space.nameOf('line', row.line), filter: {line: row.line}};
    if (this.mode === 'line') {
      return [line, {...last, filter: {...last.filter, line: row.line}}];
    }
    if (this.mode === 'category') {
      return [
        {name: last.name, filter: last.filter},
        {...line, category: last.category, filter: {...last.filter, line: row.line}}
      ];
    }
    const chain = [];
    for (let layer = row.layer; layer >= 0; layer = space.modelLayers[layer].parent) {
      chain.unshift({name: space.modelLayers[layer].name, filter: {layer}});
    }
    if (!chain.length) chain.push({name: 'in no layer', filter: {layer: -1}});
    return [...chain, {...last, filter: {...last.filter, layer: row.layer}}];
  }

  draw() {
    if (!this.space || this.map.clientWidth === 0) return;
    const tree = treeOf(this.rows, (row) => this.pathOf(row));
    const whole = {x: 0, y: 0, w: this.map.clientWidth, h: this.map.clientHeight};
    this.map.replaceChildren(...this.boxes(tree.children, whole, tree.bytes, []));
  }

  boxes(nodes, box, whole, above) {
    const made = [];
    const places = squarify(nodes.map((node) => node.bytes), box);
    nodes.forEach((node, i) => {
      const place = places[i];
      if (place.w < 2 || place.h < 2) return;
      const trail = [...above, node.name];
      const inner = {x: place.x + 2, y: place.y + 17, w: place.w - 4, h: place.h - 19};
      if (node.children.length && inner.w > 24 && inner.h > 16) {
        made.push(element(
            'div', {class: 'group', style: this.css(place), ...this.tip(node, trail, whole)},
            element('span', {}, `${node.name} · ${formatBytes(node.bytes)}`)));
        made.push(...this.boxes(node.children, inner, whole, trail));
        return;
      }
      made.push(this.leaf(node, place, trail, whole));
    });
    return made;
  }

  leaf(node, place, trail, whole) {
    // A group too small to be opened has the colour of most of it.
    let shown = node;
    while (!shown.category && shown.children.length) shown = shown.children[0];
    const roomy = place.w > 34 && place.h > 14;
    return element(
        'button', {
          type: 'button',
          style: {...this.css(place), background: `var(--${shown.category})`},
          'aria-label':
              `${trail.join(', ')}: ${formatBytes(node.bytes)}, ${formatShare(node.bytes, whole)}`,
          onclick: () => this.onFilter(node.filter),
          ...this.tip(node, trail, whole),
        },
        ...(roomy ?
                [
                  element('span', {}, node.name),
                  place.h > 30 ? element('span', {}, formatBytes(node.bytes)) : null
                ] :
                []));
  }

  tip(node, trail, whole) {
    return {
      onpointermove: (event) => {
        event.stopPropagation();
        this.onHover(event, [
          element('b', {}, formatBytes(node.bytes)), ` · ${formatShare(node.bytes, whole)}`,
          element('br'), trail.join(' › ')
        ]);
      },
      onpointerleave: () => this.onHover(),
    };
  }

  css(place) {
    return {
      left: `${place.x}px`,
      top: `${place.y}px`,
      width: `${place.w}px`,
      height: `${place.h}px`
    };
  }
}
