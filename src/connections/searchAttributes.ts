/** The search attributes that runbooks set must be known to the namespace before the first one starts. */

import type { ConnectionLike } from '@temporalio/client';
import { FleetError, messageOf } from '../fleet/errors.js';
import { SEARCH_ATTRIBUTES } from '../fleet/names.js';
import { withoutSecrets } from './redaction.js';
import { grpcCode } from './temporal.js';

/** Temporal's numbers for its types, and its own names for them in the command line. */
const TYPES = {
  KEYWORD: { number: 2, name: 'Keyword' },
  KEYWORD_LIST: { number: 7, name: 'KeywordList' },
} as const;

const ALREADY_EXISTS = 6;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;

/**
 * Adds those that the namespace lacks. Idempotent, also when several workers start at once.
 * @throws FleetError WrongCredentials with the command for somebody who may, Unreachable
 */
export async function ensureSearchAttributes(
  connection: Pick<ConnectionLike, 'operatorService'>,
  namespace: string,
): Promise<void> {
  const { operatorService } = connection;
  try {
    const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
    const missing = Object.entries(SEARCH_ATTRIBUTES).filter(([name]) => !(name in customAttributes));
    if (missing.length === 0) return;
    await operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, TYPES[type].number])),
    });
  } catch (error) {
    const code = grpcCode(error);
    if (code === ALREADY_EXISTS) return;
    const words = withoutSecrets(messageOf(error)).replace(/\.$/, '');
    if (code === PERMISSION_DENIED || code === UNAUTHENTICATED || code === UNIMPLEMENTED) {
      throw new FleetError(
        'WrongCredentials',
        `Search attributes cannot be added to namespace "${namespace}" by us (${words}). Without them runbooks cannot start: ` +
          `let somebody who may run \`${command(namespace)}\`.`,
        { cause: error },
      );
    }
    throw new FleetError(
      'Unreachable',
      `Temporal could not add search attributes to namespace "${namespace}": ${words}.`,
      { cause: error },
    );
  }
}

function command(namespace: string): string {
  const attributes = Object.entries(SEARCH_ATTRIBUTES)
    .map(([name, type]) => `--name ${name} --type ${TYPES[type].name}`)
    .join(' ');
  return `temporal operator search-attribute create --namespace ${namespace} ${attributes}`;
}
