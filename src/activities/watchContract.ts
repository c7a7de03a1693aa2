/** On the control queue. */
export interface WatchActivities {
  /** Watches a server's leaders until it is cancelled or its workflow wants to begin anew. */
  watchLeaders(input: { server: string }): Promise<void>;
}
