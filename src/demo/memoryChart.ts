/** Memory of hosts over time, as a picture (SVG). Pure. */

export interface MemoryCurve {
  readonly name: string;
  readonly colour: string;
  /** Not measured, but what would be. */
  readonly dashed?: boolean;
  readonly points: readonly MemoryPoint[];
}

/** Seconds since the beginning, and bytes in use. */
export interface MemoryPoint {
  readonly seconds: number;
  readonly used: number;
}

export interface MemoryChart {
  readonly title: string;
  /** Bytes that the host may use which it is about, and what to call that. */
  readonly total: number;
  readonly limit: string;
  readonly curves: readonly MemoryCurve[];
  /** What happened when. */
  readonly marks: readonly { readonly seconds: number; readonly label: string }[];
}

const WIDTH = 960;
const HEIGHT = 460;
const LEFT = 80;
const RIGHT = 24;
const TOP = 112;
const BOTTOM = 56;
/** For what is written above the limit. */
const HEADROOM = 1.2;
const TIME_STEP = 10;
const MiB = 1024 ** 2;

export function drawMemory({ title, total, limit, curves, marks }: MemoryChart): string {
  const longest = Math.max(1, ...curves.flatMap(({ points }) => points.map(({ seconds }) => seconds)));
  const highest =
    Math.max(total, ...curves.flatMap(({ points }) => points.map(({ used }) => used))) * HEADROOM;
  const x = (seconds: number): number => LEFT + (seconds / longest) * (WIDTH - LEFT - RIGHT);
  const y = (bytes: number): number => HEIGHT - BOTTOM - (bytes / highest) * (HEIGHT - TOP - BOTTOM);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => share * total);
  const times = Array.from({ length: Math.floor(longest / TIME_STEP) + 1 }, (_, index) => index * TIME_STEP);
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="20" y="30" font-size="17" font-weight="bold" fill="#0f172a">${escaped(title)}</text>`,
    ...curves.map(
      ({ name, colour }, index) =>
        `<rect x="20" y="${44 + index * 18}" width="12" height="12" fill="${colour}"/>` +
        `<text x="38" y="${55 + index * 18}" fill="#475569">${escaped(name)}</text>`,
    ),
    ...ticks.map(
      (bytes) =>
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(bytes))}" y2="${round(y(bytes))}" stroke="${bytes === total ? '#b91c1c' : '#e2e8f0'}"/>` +
        `<text x="${LEFT - 8}" y="${round(y(bytes) + 4)}" fill="#475569" text-anchor="end">${Math.round(bytes / MiB)} MiB</text>`,
    ),
    `<text x="${LEFT + 6}" y="${round(y(total) + 16)}" fill="#b91c1c">${escaped(limit)}</text>`,
    ...times.map(
      (seconds) =>
        `<text x="${round(x(seconds))}" y="${HEIGHT - BOTTOM + 20}" fill="#475569" text-anchor="middle">${Math.round(seconds)} s</text>`,
    ),
    ...marks.map(
      ({ seconds, label }, index) =>
        `<line x1="${round(x(seconds))}" x2="${round(x(seconds))}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#64748b" stroke-dasharray="4 4"/>` +
        `<text x="${round(x(seconds) + 6)}" y="${TOP + 14 + 16 * index}" fill="#334155">${escaped(label)}</text>`,
    ),
    ...curves.map(
      ({ colour, dashed = false, points }) =>
        `<polyline fill="none" stroke="${colour}" stroke-width="2"${dashed ? ' stroke-dasharray="6 4"' : ''} points="${points.map(({ seconds, used }) => `${round(x(seconds))},${round(y(used))}`).join(' ')}"/>`,
    ),
    `<text x="20" y="${HEIGHT - 12}" font-size="11" fill="#64748b">What all Redis processes of a host hold (resident memory).</text>`,
    '</svg>',
  ].join('\n')}\n`;
}

function round(value: number): string {
  return value.toFixed(1);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
