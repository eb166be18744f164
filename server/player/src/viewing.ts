// How one title plays, as its viewer sees it, and the reports of it: CMCD version 2 in event mode
// (CTA-5004-A). Each report tells what happened since the one before, so that the server need not
// remember this player.
const INTERVAL_MS = 30_000;
const MAX_LINES = 32; // in one body; half of what the server takes

export class Viewing {
  private readonly sessionId = newId();
  private readonly listeners = new AbortController();
  private readonly timer: number;
  private url: string | null = null;
  private askedAt: number | null = null; // told to play, and not playing yet
  private playingSince: number | null = null;
  private waitingSince: number | null = null;
  private started = false;
  private jumped = false; // what is waited for now was sought, and did not run out
  private startupMs: number | null = null;
  private rebufferingsMs: number[] = [];
  private playedMs = 0;
  private bitRate = 0;
  private lines: string[] = [];

  constructor(
    video: HTMLVideoElement,
    private readonly mediaId: string,
  ) {
    const on = (name: string, handle: () => void): void =>
      video.addEventListener(name, handle, { signal: this.listeners.signal });
    on("play", () => this.ask());
    on("playing", () => this.play());
    on("timeupdate", () => {
      const plays = !video.paused && !video.seeking && video.readyState > video.HAVE_CURRENT_DATA;
      if (plays) this.play();
    });
    on("waiting", () => this.wait());
    on("seeking", () => this.jump());
    on("pause", () => this.stand());
    on("emptied", () => this.stand());
    on("ended", () => this.send());
    window.addEventListener("pagehide", () => this.send(), { signal: this.listeners.signal });
    this.timer = setInterval(() => this.send(), INTERVAL_MS);
  }

  /** For hls.js, which tells with every request of a playlist or segment what CDNs log. */
  get requestMode(): { sessionId: string; contentId: string; useHeaders: false } {
    return { sessionId: this.sessionId, contentId: this.mediaId, useHeaders: false };
  }

  /** The path alone: this page may have been opened under another name than the API gives. */
  reportTo(cmcdUrl: string): void {
    const { pathname, search } = new URL(cmcdUrl);
    this.url = pathname + search;
  }

  /** Told to play: from here on the viewer waits for the first picture. */
  ask(): void {
    if (!this.started) this.askedAt ??= performance.now();
  }

  /** The browser would not play: the viewer has to ask again. */
  withdraw(): void {
    if (!this.started) this.askedAt = null;
  }

  switchTo(bitRate: number): void {
    if (bitRate === this.bitRate) return;
    this.addLine();
    this.bitRate = bitRate;
  }

  close(): void {
    this.stand();
    this.send();
    clearInterval(this.timer);
    this.listeners.abort();
  }

  private play(): void {
    const now = performance.now();
    this.endWait(now);
    this.jumped = false;
    this.playingSince ??= now;
    if (this.started || this.askedAt === null) return;
    this.started = true;
    this.startupMs = now - this.askedAt;
    this.send();
  }

  private wait(): void {
    this.stopClock();
    if (this.started && !this.jumped) this.waitingSince ??= performance.now();
  }

  private jump(): void {
    this.stand();
    this.jumped = true;
  }

  private stand(): void {
    this.stopClock();
    this.endWait(performance.now());
  }

  private endWait(now: number): void {
    if (this.waitingSince !== null) this.rebufferingsMs.push(now - this.waitingSince);
    this.waitingSince = null;
  }

  private stopClock(): void {
    if (this.playingSince !== null) this.playedMs += performance.now() - this.playingSince;
    this.playingSince = null;
  }

  /** Everything since the line before, which played at one bit rate. */
  private addLine(): void {
    if (this.playingSince !== null) {
      this.stopClock();
      this.playingSince = performance.now();
    }
    const told = this.startupMs !== null || this.rebufferingsMs.length > 0 || this.playedMs >= 1;
    if (!told) return;
    const keys = [
      ...(this.bitRate > 0 ? [`br=(${Math.round(this.bitRate / 1000)})`] : []),
      ...(this.rebufferingsMs.length > 0
        ? [`bsd=(${this.rebufferingsMs.map(Math.round).join(" ")})`]
        : []),
      `cid="${this.mediaId}"`,
      "e=t",
      `headrace-played=${Math.round(this.playedMs)}`,
      ...(this.startupMs === null ? [] : [`msd=${Math.round(this.startupMs)}`]),
      `sid="${this.sessionId}"`,
      `ts=${Date.now()}`,
      "v=2",
    ];
    this.lines.push(keys.join(","));
    this.startupMs = null;
    this.rebufferingsMs = [];
    this.playedMs = 0;
  }

  private send(): void {
    this.addLine();
    if (this.url === null || this.lines.length === 0) return;
    const body = this.lines.slice(-MAX_LINES).join("\n");
    this.lines = [];
    // Unlike fetch() it outlives the page. What does not arrive is not missed.
    navigator.sendBeacon(this.url, new Blob([body], { type: "application/cmcd" }));
  }
}

/** crypto.randomUUID() exists in secure contexts alone. */
function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
