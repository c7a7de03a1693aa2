/** The YAML of a fleet file: where each value stands, so that a problem can name its line. */

import { isAlias, isCollection, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { Document, YAMLError } from 'yaml';

export type FieldPath = readonly (string | number)[];

export interface FileProblem {
  /** Offset in the text. */
  readonly offset: number;
  /** One sentence, without a full stop, that begins with the field's path where there is one. */
  readonly text: string;
}

export class FleetFileSource {
  readonly #document: Document;
  readonly #lines = new LineCounter();

  constructor(private readonly text: string) {
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
  }

  /** What is no YAML, or YAML that a fleet file does not use. */
  get problems(): FileProblem[] {
    return [
      ...this.#document.errors.map((error) => this.#explain(error)),
      ...this.#document.warnings.map((warning) => this.#explain(warning)),
      ...this.#references(),
    ];
  }

  /** Whether the values can be looked at in spite of the problems. */
  get readable(): boolean {
    return (
      this.#document.errors.every((error) => error.code === 'DUPLICATE_KEY') &&
      this.#references().length === 0
    );
  }

  get value(): unknown {
    return this.#document.toJS() as unknown;
  }

  /** Where the value at `path` begins, or what holds it where there is no such value. */
  offsetOf(path: FieldPath, part: 'key' | 'value' = 'value'): number {
    let node: unknown = this.#document.contents;
    let offset = startOf(node) ?? 0;
    for (const [depth, step] of path.entries()) {
      if (!isCollection(node)) break;
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step));
        if (pair === undefined) break;
        const isLast = depth === path.length - 1;
        offset = startOf(isLast && part === 'key' ? pair.key : pair.value) ?? startOf(pair.key) ?? offset;
        node = pair.value;
      } else {
        node = typeof step === 'number' ? node.items[step] : undefined;
        offset = startOf(node) ?? offset;
      }
    }
    return offset;
  }

  /** `12:15`, both from 1. */
  lineAndColumn(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${String(Math.max(1, line))}:${String(Math.max(1, col))}`;
  }

  lineOf(path: FieldPath): number {
    return Math.max(1, this.#lines.linePos(this.offsetOf(path)).line);
  }

  #explain(error: YAMLError): FileProblem {
    const [offset] = error.pos;
    return { offset, text: this.#sentence(error, offset) };
  }

  #sentence(error: YAMLError, offset: number): string {
    if (error.code === 'DUPLICATE_KEY') {
      const key = /^[^\s:,{}[\]]+/.exec(this.text.slice(offset))?.[0] ?? 'this key';
      return `${key} is written twice in the same place, keep one of the two`;
    }
    if (error.code === 'TAB_AS_INDENT') return 'a tab is used for indentation, write spaces instead';
    if (error.code === 'MULTIPLE_DOCS') {
      return 'a second document begins here, write one fleet in one file instead';
    }
    return `this is not YAML: ${error.message.replace(/\s+/g, ' ').replace(/[.:]$/, '')}`;
  }

  /** A value that stands somewhere else than where it is used is easily changed by accident, and hard to review. */
  #references(): FileProblem[] {
    const problems: FileProblem[] = [];
    visit(this.#document, {
      Node: (_key, node) => {
        const offset = startOf(node) ?? 0;
        if (isAlias(node)) {
          problems.push({
            offset,
            text: `*${node.source} stands for another value, write that value instead`,
          });
        } else if ('anchor' in node && typeof node.anchor === 'string') {
          problems.push({
            offset,
            text: `the anchor &${node.anchor} is not used in a fleet file, remove it`,
          });
        }
      },
    });
    return problems;
  }
}

function startOf(node: unknown): number | null {
  return isNode(node) ? (node.range?.[0] ?? null) : null;
}

export function showPath(path: FieldPath): string {
  return path
    .map((step, index) => (typeof step === 'number' ? `[${String(step)}]` : index === 0 ? step : `.${step}`))
    .join('');
}
