import { Context } from '@temporalio/activity';

const FIRST_PAUSE_MS = 10;

/**
 * Asks until there is an answer, inside one activity, which costs less than a loop of timers in a workflow. What is
 * quick is noticed at once: the pauses grow from 10 ms to `everyMs`. Ends early when the activity is cancelled.
 *
 * @returns null when the deadline passed
 */
export async function pollUntil<T>(
  { deadlineMs, everyMs = 100 }: { deadlineMs: number; everyMs?: number },
  ask: () => Promise<T | null>,
): Promise<T | null> {
  const context = Context.current();
  const end = Date.now() + deadlineMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(everyMs, pauseMs * 1.5)) {
    const answer = await ask();
    if (answer !== null) {
      return answer;
    }
    if (Date.now() >= end) {
      return null;
    }
    await context.sleep(pauseMs);
  }
}
