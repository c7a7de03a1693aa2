/** Tables: with lines on a terminal, plain columns for everything that reads them. */

import Table from 'cli-table3';

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { lines }: { readonly lines: boolean },
): string {
  const drawn = new Table({
    head: [...head],
    style: { head: [], border: [], ...(lines ? {} : { 'padding-left': 0, 'padding-right': 0 }) },
    ...(lines ? {} : { chars: NO_LINES }),
  });
  drawn.push(...rows.map((row) => [...row]));
  return drawn
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
