/** Appends to the list that the map has under the key; one that it does not have begins here. */
export function listUnder<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}
