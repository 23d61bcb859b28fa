'use strict';
// What each technique is worth: a row for each that applies, and why for all.

function adviceWhy(line) {
  return element(
      'details', {class: 'why'}, element('summary', {}, words(line.technique)),
      element('div', {}, line.why),
      line.change ? element('div', {class: 'mend'}, element('b', {}, 'Change: '), line.change) :
                    null,
      element('div', {class: 'code'}, breakable(line.command)));
}

function adviceTable(lines) {
  const none = (format) => (value) => (value ? format(value) : '–');
  const column = (title, key, format) =>
      ({title, number: true, key, cell: (row) => format(key(row))});
  return sortableTable(
      [
        {title: 'Technique', name: true, key: (row) => row.technique, cell: adviceWhy},
        column('Saves', (row) => row.saved_bytes, none(formatBytes)),
        column('Peak then', (row) => row.peak_with_bytes, none(formatBytes)),
        column('Step', (row) => row.time_ratio, none((ratio) => `${ratio.toFixed(2)} x`)),
        column(
            'To be won at most', (row) => row.seconds,
            none((seconds) => formatTime(Math.round(seconds * 1e9))))
      ],
      lines);
}

function drawAdvice() {
  const {advice} = page.report;
  const section = document.getElementById('advice');
  section.hidden = !advice;
  if (!advice) return;
  const gain = (line) => line.saved_bytes;
  const applying =
      advice.techniques.filter((line) => line.applies).sort((a, b) => gain(b) - gain(a));
  const others = advice.techniques.filter((line) => !line.applies);
  section.querySelector('.dim').textContent = advice.space === null ?
      '' :
      `${advice.layer} ${advice.space}, ${formatBytes(advice.peak_bytes)}${
          advice.step_ns === null ? '' : `, a step ${formatTime(advice.step_ns)}`}`;
  section.querySelector('.body').replaceChildren(
      ...(advice.not_replayed ? [element('p', {class: 'hint'}, advice.not_replayed)] : []),
      ...(applying.length ? [adviceTable(applying)] : []),
      fold(
          'Worth less than a hundredth here', `(${formatCount(others.length)})`,
          element('div', {}, ...others.map(adviceWhy))));
}
