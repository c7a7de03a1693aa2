import { FleetError } from '../fleet/errors.js';
import type { PromotionActivities } from './promotionContract.js';

export function promotionActivities(dependencies: object): PromotionActivities {
  const notYet = (): never => {
    throw new FleetError('InvalidRequest', `Not there yet (${Object.keys(dependencies).length}).`);
  };
  return { claimForPromotion: notYet, confirmFailures: notYet, breakLease: notYet, promote: notYet };
}
