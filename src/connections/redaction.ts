/** Keeps secrets out of log lines and error messages. */

const MASK = '***';
const SECRET_NAME = /pass(word|phrase|wd)?$|secret|token$|api[-_]?key|credential|^authorization$|(^|_)auth$/i;
const CREDENTIALS_IN_URL = /([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/@]+@/gi;
const SECRET_ASSIGNMENT =
  /((?:pass(?:word|phrase|wd)?|masterauth|requirepass|secret|token|api[-_]?key)["']?\s*[:=]\s*["']?)[^\s"',}]+/gi;

/** The values of secrets that this process was given: masked wherever they turn up. */
const remembered = new Set<string>();

/** Masks `secret` in every later log line and error message of this process. Short values would mask words. */
export function rememberSecret(secret: string | undefined): void {
  if (secret !== undefined && secret.length >= 6) remembered.add(secret);
}

/** Remembers what the environment holds under a secret's name (CONSUL_HTTP_TOKEN, TEMPORAL_API_KEY, …). */
export function rememberSecretsOf(env: NodeJS.ProcessEnv): void {
  for (const [name, value] of Object.entries(env)) {
    if (SECRET_NAME.test(name)) rememberSecret(value);
  }
}

/** `text` without passwords in URLs, `password=…` and the secrets that this process remembers. */
export function withoutSecrets(text: string): string {
  let shown = text.replace(CREDENTIALS_IN_URL, `$1:${MASK}@`).replace(SECRET_ASSIGNMENT, `$1${MASK}`);
  for (const secret of remembered) shown = shown.replaceAll(secret, MASK);
  return shown;
}

/** A copy of a log object in which every field with a secret's name, and every secret in a text, is masked. */
export function redacted(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return withoutSecrets(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > 6) return '…';
  if (Array.isArray(value)) return value.map((item) => redacted(item, depth + 1));
  if (value instanceof Error) {
    return { type: value.name, message: withoutSecrets(value.message), ...kindOf(value) };
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      SECRET_NAME.test(name) && (typeof field === 'string' || typeof field === 'number')
        ? MASK
        : redacted(field, depth + 1),
    ]),
  );
}

function kindOf(error: Error): { kind?: unknown } {
  return 'kind' in error ? { kind: error.kind } : {};
}
