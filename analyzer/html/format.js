'use strict';
// Numbers as analyzer/units.cpp writes them, to the digit; and elements made of text, never of
// markup: names in a trace are not to be trusted.

// numerator / denominator with so many decimals, halves to even. In whole numbers: no rounding
// but the one that is asked for.
function fixed(numerator, denominator, decimals) {
  const scaled = BigInt(numerator) * 10n ** BigInt(decimals);
  const whole = BigInt(denominator);
  let rounded = scaled / whole;
  const twice = 2n * (scaled % whole);
  if (twice > whole || (twice === whole && rounded % 2n === 1n)) rounded += 1n;
  if (decimals === 0) return rounded.toString();
  const digits = rounded.toString().padStart(decimals + 1, '0');
  return `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

function formatBytes(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let unit = 0;
  let value = bytes / 1024;
  while (value >= 1023.5 && unit + 1 < units.length) {
    value /= 1024;
    ++unit;
  }
  const decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${fixed(bytes, 1024n ** BigInt(unit + 1), decimals)} ${units[unit]}`;
}

function formatTime(ns) {
  if (ns < 0) return `-${formatTime(-ns)}`;
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 999999.5) return `${fixed(ns, 1000, 3)} µs`;
  if (ns < 999999500) return `${fixed(ns, 1000000, 3)} ms`;
  return `${fixed(ns, 1000000000, 3)} s`;
}

function formatCount(count) { return String(count).replace(/\B(?=(\d{3})+$)/g, ','); }

function formatShare(part, whole) {
  return whole === 0 ? '0.0 %' : `${fixed(BigInt(part) * 100n, whole, 1)} %`;
}

function plural(count, one, many) { return `${formatCount(count)} ${count === 1 ? one : many}`; }

function words(name) { return name.replaceAll('_', ' '); }

// element('td', {class: 'num', onclick: f}, 'text', child, …)
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) {
      made.addEventListener(name.slice(2), value);
    } else if (name === 'style') {
      for (const [key, set] of Object.entries(value)) made.style.setProperty(key, set);
    } else {
      made.setAttribute(name, value === true ? '' : value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// One of several, by [mode, name]: the chosen one is pressed.
function modeButtons(modes, chosen, choose) {
  return modes.map(
      ([mode, name]) => element(
          'button', {
            type: 'button',
            'aria-pressed': String(mode === chosen),
            'data-mode': mode,
            onclick: () => choose(mode),
          },
          name));
}

// A name that breaks between its parts.
function breakable(name) {
  const parts = name.split(/(?<=::|[./])/);
  return element(
      'span', {}, ...parts.flatMap((part, i) => (i > 0 ? [element('wbr'), part] : [part])));
}

function swatch(category) {
  return element('span', {class: 'swatch', style: {background: `var(--${category})`}});
}
