/** On the control queue. */
export interface WatchActivities {
  /** Watches a server's leaders until it is cancelled; ends by itself after some hours, so that its workflow begins anew. */
  watchLeaders(input: { server: string }): Promise<void>;
}
