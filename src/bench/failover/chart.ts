/** The picture of this benchmark, drawn from its report. */

import type { Comparison, Report } from '../../testbed/report.js';

const WIDTH = 960;
const LABELS = 300;
const BARS = 400;
const ROW = 44;
const TOP = 92;
const COLOURS: Readonly<Record<string, string>> = { ours: '#dc2626', Sentinel: '#94a3b8' };

/** Each row: how long writes stopped, and what was lost that had been acknowledged. */
const ROWS = [
  { label: 'leader killed', outage: 'killed: outage', lost: ['killed: acknowledged writes lost'] },
  {
    label: 'leader killed and restarted empty',
    outage: 'killed, and restarted empty: outage',
    lost: ['killed, and restarted empty: acknowledged writes lost'],
  },
  {
    label: 'leader hung for 15 s, then awake again',
    outage: 'hung for 15 s: outage',
    lost: ['hung for 15 s: acknowledged writes lost'],
  },
  {
    label: 'leader’s zone cut off for 20 s',
    outage: 'zone cut off for 20 s: outage outside',
    lost: ['zone cut off for 20 s: acknowledged writes lost, client inside'],
  },
  {
    label: 'planned change',
    outage: 'planned: outage',
    lost: [
      'planned: acknowledged writes lost, client that follows',
      'planned: acknowledged writes lost, client that stays',
    ],
  },
  { label: '16 leaders killed at once, the last', outage: '16 killed at once: outage of the last', lost: [] },
  { label: '64 leaders killed at once, the last', outage: '64 killed at once: outage of the last', lost: [] },
] as const;

export function drawFailover(report: Report): string {
  const comparisons = report.comparisons ?? [];
  const rows = ROWS.flatMap(({ label, outage, lost }) => {
    const found = comparisons.find(({ name }) => name === outage);
    return found === undefined
      ? []
      : [{ label, outage: found, lost: lost.map((name) => named(comparisons, name)) }];
  });
  const longest = Math.max(
    ...rows.flatMap(({ outage }) => SYSTEMS.map((system) => secondsOf(outage, system) ?? 0)),
  );
  const height = TOP + rows.length * ROW + 34;
  const drawn = rows.map((row, index) => drawRow(row, TOP + index * ROW, longest));
  const { redis, cores, at } = report.machine;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="20" y="30" font-size="17" font-weight="bold" fill="#0f172a">A change of leader, as clients see it</text>`,
    legend(20, 52),
    `<text x="${LABELS}" y="80" fill="#475569">time without writes, median</text>`,
    `<text x="${WIDTH - 20}" y="80" fill="#475569" text-anchor="end">acknowledged writes lost</text>`,
    ...drawn,
    `<text x="20" y="${height - 12}" font-size="11" fill="#64748b">Redis ${redis}, ${cores} cores, ${at.slice(0, 10)}; detection after 1 s in both; bench/failover draws this.</text>`,
    '</svg>',
  ].join('\n')}\n`;
}

const SYSTEMS = ['ours', 'Sentinel'] as const;
const NAMES = { ours: 'redis-fleet', Sentinel: 'Redis Sentinel' } as const;

interface Row {
  readonly label: string;
  readonly outage: Comparison;
  readonly lost: readonly (Comparison | undefined)[];
}

function drawRow({ label, outage, lost }: Row, y: number, longest: number): string {
  const bars = SYSTEMS.map((system, index) => {
    const seconds = secondsOf(outage, system);
    if (seconds === null) return '';
    const top = y + index * 17;
    const width = Math.max(2, (seconds / longest) * BARS);
    const losses =
      lost.length === 0
        ? ''
        : String(lost.reduce((sum, one) => sum + (one?.figures[system]?.median ?? 0), 0));
    const weight = losses === '' || losses === '0' ? '' : ' font-weight="bold"';
    return [
      `<rect x="${LABELS}" y="${top}" width="${width.toFixed(1)}" height="14" rx="2" fill="${COLOURS[system] ?? '#000000'}"/>`,
      `<text x="${(LABELS + width + 6).toFixed(1)}" y="${top + 11.5}" fill="#0f172a">${showSeconds(seconds)}</text>`,
      `<text x="${WIDTH - 20}" y="${top + 11.5}" fill="#0f172a" text-anchor="end"${weight}>${losses}</text>`,
    ].join('');
  });
  return `<text x="20" y="${y + 20}" fill="#0f172a">${label}</text>${bars.join('')}`;
}

function legend(x: number, y: number): string {
  return SYSTEMS.map((system, index) => {
    const left = x + index * 120;
    return `<rect x="${left}" y="${y - 11}" width="14" height="14" rx="2" fill="${COLOURS[system] ?? '#000000'}"/><text x="${left + 20}" y="${y + 1}" fill="#0f172a">${NAMES[system]}</text>`;
  }).join('');
}

function secondsOf({ unit, figures }: Comparison, system: string): number | null {
  const median = figures[system]?.median;
  if (median === undefined) return null;
  return unit === 'ms' ? median / 1000 : median;
}

function showSeconds(seconds: number): string {
  return seconds < 0.1 ? `${(seconds * 1000).toFixed(0)} ms` : `${seconds.toFixed(2)} s`;
}

function named(comparisons: readonly Comparison[], name: string): Comparison | undefined {
  return comparisons.find((one) => one.name === name);
}
