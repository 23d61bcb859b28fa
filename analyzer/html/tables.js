'use strict';
// Tables that sort by a click on a column's title, and the tables of owners.

// columns: {title, cell: row => node or text, key: row => what it sorts by, number}. Sorted as
// given until a title is clicked.
function sortableTable(columns, rows, options = {}) {
  const body = element('tbody');
  let shown = rows;
  const heads = columns.map((column) => {
    const head = element(
        'th', {scope: 'col', class: column.number ? 'num' : undefined},
        element('button', {type: 'button', onclick: () => sort(column, head)}, column.title));
    return head;
  });
  const fill = () => {
    const most = options.most ?? shown.length;
    body.replaceChildren(...shown.slice(0, most).map((row) => tableRow(columns, row, options)));
    if (shown.length > most) {
      const rest = element(
          'button', {
            type: 'button',
            onclick: () => {
              options.most = undefined;
              fill();
            }
          },
          `${formatCount(shown.length - most)} more`);
      body.append(element('tr', {}, element('td', {colspan: columns.length}, rest)));
    }
  };
  function sort(column, head) {
    const descending = head.getAttribute('aria-sort') === 'descending' ? false :
        head.getAttribute('aria-sort') === 'ascending'                 ? true :
                                                                         Boolean(column.number);
    for (const other of heads) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
    const order = (a, b) => {
      const [x, y] = [column.key(a), column.key(b)];
      return column.number ? x - y : String(x).localeCompare(String(y));
    };
    shown = [...rows].sort((a, b) => (descending ? order(b, a) : order(a, b)));
    fill();
  }
  fill();
  if (options.sortedBy !== undefined)
    heads[options.sortedBy].setAttribute('aria-sort', 'descending');
  return element(
      'div', {class: 'scroll'},
      element('table', {}, element('thead', {}, element('tr', {}, ...heads)), body));
}

function tableRow(columns, row, options) {
  const pick = options.onPick ? () => options.onPick(row) : undefined;
  return element(
      'tr', {
        tabindex: pick && 0,
        'aria-selected': options.picked?.(row) ? 'true' : undefined,
        onclick: pick,
        onkeydown: pick && ((event) => {
                     if (event.key !== 'Enter' && event.key !== ' ') return;
                     event.preventDefault();
                     pick();
                   }),
      },
      ...columns.map((column) => {
        const share = column.share?.(row);
        return element(
            'td', {
              class: [
                column.number ? 'num' : '', column.name ? 'name' : '',
                share === undefined ? '' : 'meter'
              ].join(' ').trim() ||
                  undefined,
              style: share === undefined ? undefined : {'--share': `${(share * 100).toFixed(2)}%`},
            },
            column.cell(row));
      }));
}

class OwnersTable {
  constructor(section, onFilter) {
    this.tabs = section.querySelector('.tabs');
    this.body = section.querySelector('.body');
    this.onFilter = onFilter;
    this.kind = 'line';
    this.tabs.addEventListener('keydown', (event) => rove(event, this.tabs));
  }

  show(space, rows, filter) {
    const kinds = [
      ['line', 'Line'], ...(space.rows.some((row) => row.layer >= 0) ? [['layer', 'Layer']] : []),
      ...(space.byCategory ? [['category', 'Category']] : []), ['stack', 'Stack']
    ];
    if (!kinds.some(([kind]) => kind === this.kind)) this.kind = 'line';
    this.tabs.replaceChildren(...kinds.map(
        ([kind, name]) => element(
            'button', {
              type: 'button',
              role: 'tab',
              'data-kind': kind,
              'aria-selected': String(kind === this.kind),
              tabindex: kind === this.kind ? 0 : -1,
              onclick: () => {
                this.kind = kind;
                this.show(space, rows, filter);
                this.tabs.querySelector(`[data-kind=${kind}]`).focus();
              },
            },
            name)));
    const whole = totalOf(rows);
    const kind = this.kind;
    this.body.replaceChildren(sortableTable(
        [
          {
            title: 'Share',
            number: true,
            key: (sum) => sum.bytes,
            cell: (sum) => formatShare(sum.bytes, whole),
            share: (sum) => (whole ? sum.bytes / whole : 0)
          },
          {
            title: 'Bytes',
            number: true,
            key: (sum) => sum.bytes,
            cell: (sum) => formatBytes(sum.bytes)
          },
          {
            title: 'Blocks',
            number: true,
            key: (sum) => sum.count,
            cell: (sum) => formatCount(sum.count)
          },
          {
            title: kinds.find(([name]) => name === kind)[1],
            name: true,
            key: (sum) => space.nameOf(kind, sum.key),
            cell: (sum) => this.nameCell(space, kind, sum.key)
          },
        ],
        sumBy(rows, kind), {
          most: 50,
          sortedBy: 1,
          picked: (sum) => filter[kind] === sum.key,
          onPick: (sum) => this.onFilter({[kind]: filter[kind] === sum.key ? undefined : sum.key}),
        }));
  }

  nameCell(space, kind, key) {
    const name = space.nameOf(kind, key);
    if (kind === 'category') return element('span', {}, swatch(key), name);
    if (kind !== 'stack' || key < 0) {
      return element(
          'span', {title: kind === 'line' && key >= 0 ? space.codeLines[key].file : undefined},
          breakable(name));
    }
    const path = space.framesOf(key).reverse();
    return element(
        'details', {
          onclick: (event) => event.stopPropagation(),
          onkeydown: (event) => event.stopPropagation(),
          style: {all: 'unset', display: 'block'}
        },
        element('summary', {style: {'font-weight': 'normal'}}, breakable(name)),
        element(
            'ul', {class: 'frames code'},
            ...path.map(
                (frame) => element(
                    'li', {class: frames[frame].user ? 'user' : undefined},
                    `${nameOfFrame(frames[frame])}  ${
                        frames[frame].file ?
                            `${frames[frame].file}${
                                frames[frame].line > 0 ? `:${frames[frame].line}` : ''}` :
                                                         frames[frame].module}`))));
  }
}

// Arrow keys move between the tabs of a list.
function rove(event, list) {
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (!step) return;
  event.preventDefault();
  const tabs = [...list.querySelectorAll('[role=tab]')];
  const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
}
