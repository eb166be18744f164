// Follows unfinished titles by asking the API about each of them again and again.
import { ApiError, getMedia, type Media } from "./api";
import { hideNotice, showError } from "./notice";

const VISIBLE_MS = 700;
const HIDDEN_MS = 5_000;
const MAX_OFFLINE_MS = 10_000;
const HTTP_NOT_FOUND = 404;

export interface WatchListener {
  onMedia(media: Media): void;
  onGone(id: string): void;
}

export const isUnfinished = (media: Media): boolean =>
  media.status !== "ready" && media.status !== "failed";

export class Watcher {
  private readonly ids = new Set<string>();
  private timer = 0;
  private asking = false;
  private failures = 0;

  constructor(private readonly listener: WatchListener) {
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.schedule(0);
    });
  }

  watch(id: string): void {
    this.ids.add(id);
    if (this.timer === 0) this.schedule(VISIBLE_MS);
  }

  /** Whether it was watched. */
  forget(id: string): boolean {
    return this.ids.delete(id);
  }

  private schedule(delayMs: number): void {
    if (this.asking) return;
    clearTimeout(this.timer);
    this.timer = this.ids.size === 0 ? 0 : setTimeout(() => void this.round(), delayMs);
  }

  /** One title after the other, so that many of them never become many requests at once. */
  private async round(): Promise<void> {
    this.asking = true;
    try {
      for (const id of [...this.ids]) {
        if (this.ids.has(id)) await this.ask(id); // it may have been forgotten meanwhile
      }
      this.online();
    } catch (error) {
      this.failures += 1;
      showError(error);
    } finally {
      this.asking = false;
      this.schedule(this.delayMs());
    }
  }

  private async ask(id: string): Promise<void> {
    try {
      const media = await getMedia(id);
      if (!this.ids.has(id)) return; // deleted while the answer was under way
      if (!isUnfinished(media)) this.forget(id);
      this.listener.onMedia(media);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== HTTP_NOT_FOUND) throw error;
      this.forget(id);
      this.listener.onGone(id);
    }
  }

  private online(): void {
    if (this.failures > 0) hideNotice();
    this.failures = 0;
  }

  private delayMs(): number {
    const base = document.hidden ? HIDDEN_MS : VISIBLE_MS;
    return Math.min(base * 2 ** this.failures, Math.max(base, MAX_OFFLINE_MS));
  }
}
