/** The chart of the demo: memory of hosts over time. */

import { describe, expect, test } from 'vitest';
import { drawMemory, type MemoryChart } from '../../src/demo/memoryChart.js';

const MiB = 1024 ** 2;

const chart: MemoryChart = {
  title: 'Leaders < host & more',
  total: 800 * MiB,
  limit: 'all there is',
  curves: [
    {
      name: 'full',
      colour: '#111111',
      points: [
        { seconds: 0, used: 0 },
        { seconds: 20, used: 800 * MiB },
      ],
    },
    { name: 'would be', colour: '#222222', dashed: true, points: [{ seconds: 5, used: 900 * MiB }] },
  ],
  marks: [{ seconds: 10, label: 'alarm' }],
};

/** The points of the curve of this colour, as numbers. */
function pointsOf(svg: string, colour: string): number[][] {
  const line = new RegExp(`<polyline [^>]*stroke="${colour}"[^>]* points="([^"]*)"`).exec(svg)?.[1] ?? '';
  return line.split(' ').map((pair) => pair.split(',').map(Number));
}

describe('a chart of memory', () => {
  test('draws every curve over time, what is not measured dashed', () => {
    const svg = drawMemory(chart);
    const [[left = 0, low = 0] = [], [right = 0, high = 0] = []] = pointsOf(svg, '#111111');
    expect(right).toBeGreaterThan(left);
    expect(high).toBeLessThan(low);
    expect(svg).toMatch(/stroke="#222222"[^>]*stroke-dasharray/);
    expect(svg).not.toMatch(/stroke="#111111"[^>]*stroke-dasharray/);
  });

  test('shows the limit where a curve that reaches it ends, and times by tens of seconds', () => {
    const svg = drawMemory(chart);
    const high = pointsOf(svg, '#111111')[1]?.[1];
    expect(svg).toContain(`y1="${high?.toFixed(1) ?? ''}"`);
    for (const text of ['800 MiB', 'all there is', 'alarm', '>0 s<', '>10 s<', '>20 s<'])
      expect(svg).toContain(text);
    expect(svg).not.toContain('30 s');
  });

  test('is sound where a name has signs of its own, and where nothing was measured', () => {
    expect(drawMemory(chart)).toContain('Leaders &lt; host &amp; more');
    expect(drawMemory({ ...chart, curves: [] })).not.toMatch(/NaN|Infinity/);
  });
});
