'use strict';
// The tables at the end: all that the report has beside the peaks.

function fold(title, remark, table, open = false) {
  return element(
      'details', {open},
      element('summary', {}, title, element('span', {class: 'dim'}, ` ${remark}`)), table);
}

function textColumn(title, cell) { return {title, key: cell, cell}; }

function numberColumn(title, key, format) {
  return {
    title,
    number: true,
    key,
    cell: (row) => (key(row) === null || key(row) === undefined ? '' : format(key(row)))
  };
}

function drawMore(section) {
  const {report} = page;
  const parts = [fold(
      'Memory by layer and space', '(layers hold each other: do not add them up)',
      sortableTable(
          [
            textColumn('Layer', (row) => row.layer),
            textColumn('Space', (row) => row.space),
            numberColumn('Peak', (row) => row.peak_bytes, formatBytes),
            numberColumn('Reached at', (row) => row.peak_at_ns, formatTime),
            numberColumn('Allocations', (row) => row.allocations, formatCount),
            numberColumn('In total', (row) => row.allocated_bytes, formatBytes),
            numberColumn('Never freed', (row) => row.unfreed_bytes, formatBytes),
            numberColumn('Blocks', (row) => row.unfreed_count, formatCount),
          ],
          report.spaces))];
  parts.push(...deviceParts(report));
  parts.push(fold(
      'Processes', `(${formatCount(report.processes.length)})`,
      sortableTable(
          [
            numberColumn('Pid', (row) => row.pid, String),
            textColumn('Command', (row) => row.command),
            numberColumn('Rank', (row) => row.rank, String),
            numberColumn('Started', (row) => row.start_ns, formatTime),
            numberColumn('Ended', (row) => row.end_ns, formatTime),
            numberColumn('Exit', (row) => row.exit, String),
            numberColumn('Threads', (row) => row.threads, formatCount),
            numberColumn('Peak RSS', (row) => row.memory?.peak_rss_bytes, formatBytes),
            numberColumn('Peak heap', (row) => row.heap?.peak_bytes, formatBytes),
          ],
          report.processes, {most: 30})));
  parts.push(
      ...report.processes.filter((one) => one.memory?.breakdown).slice(0, 4).map(residentPart));
  parts.push(fold(
      'Losses', report.losses.length ? '' : '(none)',
      sortableTable(
          [
            textColumn('Severity', (row) => words(row.severity)),
            numberColumn('Count', (row) => row.count, formatCount),
            {...textColumn('Name', (row) => row.name), name: true}
          ],
          report.losses),
      report.losses.some((one) => one.severity !== 'info')));
  section.replaceChildren(...parts);
}

const MIGRATIONS = {
  HtoD: 'copied to a device',
  DtoH: 'copied to the host',
  DtoD: 'copied between devices',
  cpu_fault: 'faults of the host',
  gpu_fault: 'faults of a device, which waited',
  thrashing: 'wanted by several by turns',
  throttling: 'one of these kept waiting',
  remote_map: 'mapped where they lay'
};

// What the driver itself keeps books of.
function driverParts(report) {
  const parts = [];
  const bytes = (title, key) => numberColumn(title, (row) => row[key], formatBytes);
  const device = textColumn('Device', (row) => `device:${row.device}`);
  if (report.driver_pools?.length) {
    parts.push(fold(
        'The driver\'s memory pools', '(cudaMallocAsync)',
        sortableTable(
            [
              device, numberColumn('Pools', (row) => row.pools, formatCount),
              bytes('Held at most', 'peak_held_bytes'),
              numberColumn('At', (row) => row.peak_held_ns, formatTime),
              bytes('In use then', 'used_then_bytes'), bytes('In use at most', 'peak_used_bytes')
            ],
            report.driver_pools)));
  }
  if (report.migrations?.length) {
    const some = (format) => (value) => (value === 0 ? '' : format(value));
    parts.push(fold(
        'Pages of managed memory', '',
        sortableTable(
            [
              textColumn('What', (row) => MIGRATIONS[row.kind] ?? row.kind),
              numberColumn('Times', (row) => row.count, formatCount),
              numberColumn('Bytes', (row) => row.bytes, some(formatBytes)),
              numberColumn('Faults', (row) => row.faults, some(formatCount)),
              numberColumn('Took', (row) => row.duration_ns, some(formatTime))
            ],
            report.migrations)));
  }
  if (report.imported_memory?.length) {
    parts.push(fold(
        'Memory of other processes, opened through IPC', '(theirs: in no sum here)',
        sortableTable(
            [
              device, numberColumn('Blocks', (row) => row.count, formatCount),
              bytes('Open at most', 'peak_bytes'),
              numberColumn('Never closed', (row) => row.never_closed, formatCount),
              numberColumn('Of unknown size', (row) => row.of_unknown_size, formatCount)
            ],
            report.imported_memory)));
  }
  return parts;
}

function deviceParts(report) {
  const parts = [];
  if (report.pools?.length) {
    parts.push(fold(
        'The framework\'s pool', '',
        sortableTable(
            [
              textColumn('Device', (row) => `device:${row.device}`),
              numberColumn('Peak allocated', (row) => row.peak_allocated_bytes, formatBytes),
              numberColumn('At', (row) => row.peak_allocated_at_ns, formatTime),
              numberColumn('Peak reserved', (row) => row.peak_reserved_bytes, formatBytes),
              numberColumn('At', (row) => row.peak_reserved_at_ns, formatTime)
            ],
            report.pools)));
  }
  for (const fit of report.fits ?? []) {
    parts.push(fold(
        `What device:${fit.device} would have needed`,
        `(${formatBytes(fit.needed_bytes)}${
            fit.beside_bytes === null ? ' and the driver\'s own' : ''})`,
        sortableTable(
            [
              numberColumn('A card of', (row) => row.gigabytes, (size) => `${size} GB`),
              numberColumn('Offers', (row) => row.usable_bytes, formatBytes),
              textColumn('Fits', (row) => (row.fits ? 'yes' : 'no'))
            ],
            fit.cards)));
  }
  if (report.ranks?.length) {
    const bytes = (title, key) => numberColumn(title, (row) => row[key], formatBytes);
    parts.push(fold(
        'Ranks', `(${formatCount(report.ranks.length)})`,
        sortableTable(
            [
              numberColumn('Rank', (row) => row.rank, String),
              textColumn('Devices', (row) => row.devices.join(', ')),
              bytes('Pool', 'pool_peak_bytes'), bytes('Driver', 'driver_peak_bytes'),
              bytes('Communicators', 'communicator_peak_bytes'),
              bytes('Pinned', 'pinned_peak_bytes'), bytes('Heap', 'heap_peak_bytes'),
              bytes('RSS', 'peak_rss_bytes')
            ],
            report.ranks)));
  }
  if (report.device_memory?.length) {
    const bytes = (title, key) => numberColumn(title, (row) => row[key], formatBytes);
    parts.push(fold(
        'Device memory as the driver counts it', '',
        sortableTable(
            [
              textColumn('Bus', (row) => row.bus),
              numberColumn('At', (row) => row.at_ns, formatTime), bytes('Total', 'total_bytes'),
              bytes('Used', 'used_bytes'), bytes('Pool', 'pool_bytes'),
              bytes('Allocated', 'allocated_bytes'), bytes('Idle in pools', 'idle_bytes'),
              bytes('Unexplained', 'unexplained_bytes')
            ],
            report.device_memory)));
  }
  parts.push(...driverParts(report));
  if (report.power?.length) {
    const watts = (milliwatts) => `${(milliwatts / 1e3).toFixed(milliwatts < 9950 ? 1 : 0)} W`;
    const joules = (millijoules) => millijoules === null ? '' :
        millijoules < 999950                             ? `${(millijoules / 1e3).toFixed(1)} J` :
                                    millijoules < 999995e3 ? `${(millijoules / 1e6).toFixed(2)} kJ` :
                                                             `${(millijoules / 1e9).toFixed(2)} MJ`;
    parts.push(fold(
        'Power and energy, of the whole board', '',
        sortableTable(
            [
              textColumn('Bus', (row) => row.bus),
              numberColumn('On average', (row) => row.mean_mw, watts),
              numberColumn('At most', (row) => row.peak_mw, watts),
              numberColumn('At', (row) => row.peak_ns, formatTime),
              numberColumn('Energy', (row) => row.energy_mj, joules),
              numberColumn('An iteration', (row) => row.iteration_mj, joules)
            ],
            report.power)));
  }
  const side = (space) => (space === 'host' ? 'pageable' : space);
  if (report.transfers?.length) {
    parts.push(fold(
        'Copies', `(${formatCount(report.events.transfer)})`,
        sortableTable(
            [
              textColumn('Kind', (row) => row.kind),
              textColumn('From', (row) => side(row.src_space)),
              textColumn('To', (row) => side(row.dst_space)),
              numberColumn('Count', (row) => row.count, formatCount),
              numberColumn('Bytes', (row) => row.bytes, formatBytes),
              numberColumn('Time', (row) => row.time_ns, formatTime),
              numberColumn(
                  'Rate', (row) => (row.time_ns ? row.bytes / row.time_ns : null),
                  (rate) => `${rate.toFixed(2)} GB/s`)
            ],
            report.transfers)));
  }
  if (report.kernels) {
    parts.push(fold(
        'Kernels',
        `(${formatCount(report.kernels.count)} of ${
            plural(report.kernels.names, 'name', 'names')}, ${formatTime(report.kernels.time_ns)})`,
        sortableTable(
            [
              numberColumn(
                  'Share', (row) => row.time_ns,
                  (time) => formatShare(time, report.kernels.time_ns)),
              numberColumn('Time', (row) => row.time_ns, formatTime),
              numberColumn('Count', (row) => row.count, formatCount),
              {...textColumn('Name', (row) => row.name), name: true}
            ],
            report.kernels.top)));
  }
  return parts;
}

function residentPart(process) {
  const {breakdown} = process.memory;
  const bytes = numberColumn('Bytes', (row) => row.bytes, formatBytes);
  const list =
      [...breakdown.parts.filter((one) => one.bytes > 0).sort((a, b) => b.bytes - a.bytes)];
  return fold(
      `Resident memory of process ${process.pid}`,
      `(${formatBytes(breakdown.rss_bytes)} at ${formatTime(breakdown.at_ns)})`,
      sortableTable(
          [
            numberColumn(
                'Share', (row) => row.bytes, (part) => formatShare(part, breakdown.rss_bytes)),
            bytes, {...textColumn('Part', (row) => words(row.part)), name: true}
          ],
          list));
}
