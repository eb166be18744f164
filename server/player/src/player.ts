// Plays one title in the page's video element: through Media Source Extensions by hls.js wherever
// they exist, because only there a rung can be chosen and measured; else by the browser itself.
import Hls, { type ErrorData, ErrorDetails, ErrorTypes, Events, type Level } from "hls.js";
import type { Playback } from "./api";
import { Viewing } from "./viewing";

const BACK_BUFFER_S = 60;
const MAX_RECOVERIES = 3; // without playing on in between
const RETRY_DELAY_MS = 1000; // doubled each time
const PLAYED_ON_S = 5;
const HTTP_FORBIDDEN = 403; // the origin's answer to an expired token
export const AUTO = -1;

export interface Rung {
  index: number;
  width: number;
  height: number;
  bitRate: number;
}

export interface Figures {
  rung: Rung | null;
  bufferS: number;
  bitRate: number | null;
  bandwidth: number | null;
  droppedFrames: number;
  totalFrames: number;
}

export interface PlayerListener {
  onRungs(rungs: Rung[], chosen: number): void;
  onFailure(reason: string): void;
}

export class Player {
  private hls: Hls | null = null;
  private closed = false;
  private recoveries = 0;
  private recoveredAt = 0;
  private retryTimer = 0;
  private fragmentBitRate: number | null = null;
  private played: Rung | null = null;
  private chosen = AUTO;
  private readonly viewing: Viewing;
  private readonly listeners = new AbortController();

  /** `freshPlayback` asks the API for URLs whose token has not expired. */
  constructor(
    private readonly video: HTMLVideoElement,
    mediaId: string,
    private readonly freshPlayback: () => Promise<Playback>,
    private readonly listener: PlayerListener,
  ) {
    this.viewing = new Viewing(video, mediaId);
    const { signal } = this.listeners;
    video.addEventListener("timeupdate", () => this.noteProgress(), { signal });
    video.addEventListener("seeking", () => this.noteSeek(), { signal });
  }

  /** Rejects with what `freshPlayback` rejects with. */
  async open(position = 0): Promise<void> {
    const playback = await this.freshPlayback();
    if (this.closed) return;
    this.viewing.reportTo(playback.cmcd_url);
    if (Hls.isSupported()) this.openHls(playback, position);
    else this.openNative(playback.url, position);
  }

  /** `play` will follow as soon as there is something to play. */
  willPlay(): void {
    this.viewing.ask();
  }

  /** A browser may refuse to play before the person has touched the page; the controls are there. */
  async play(): Promise<void> {
    this.viewing.ask();
    try {
      await this.video.play();
    } catch (error) {
      const refused = error instanceof DOMException;
      if (!refused || (error.name !== "NotAllowedError" && error.name !== "AbortError")) {
        throw error;
      }
      if (error.name === "NotAllowedError") this.viewing.withdraw();
    }
  }

  close(): void {
    this.closed = true;
    this.viewing.close();
    this.listeners.abort();
    clearTimeout(this.retryTimer);
    this.hls?.destroy();
    this.video.onerror = null;
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** From the next segment on; what is playing goes on without a gap. */
  chooseRung(index: number): void {
    this.chosen = index;
    if (this.hls) this.hls.nextLevel = index;
  }

  figures(): Figures {
    const quality = this.video.getVideoPlaybackQuality();
    const bandwidth = this.hls?.bandwidthEstimate;
    return {
      rung: this.played,
      bufferS: secondsAhead(this.video),
      bitRate: this.fragmentBitRate,
      bandwidth: bandwidth && Number.isFinite(bandwidth) ? bandwidth : null,
      droppedFrames: quality.droppedVideoFrames,
      totalFrames: quality.totalVideoFrames,
    };
  }

  private openHls(playback: Playback, position: number): void {
    this.hls?.destroy();
    const [url = "", signed] = playback.url.split("?");
    // A growing EVENT playlist counts as live, and hls.js would start at its end.
    const hls = new Hls({
      startPosition: position,
      backBufferLength: BACK_BUFFER_S,
      cmcd: this.viewing.requestMode,
      xhrSetup: (xhr, address) => {
        xhr.withCredentials = playback.cookies !== null;
        // A signature in the query: relative URIs do not inherit it.
        if (signed) xhr.open("GET", `${address}${address.includes("?") ? "&" : "?"}${signed}`);
      },
    });
    this.hls = hls;
    hls.on(Events.MANIFEST_PARSED, (_, { levels }) => {
      hls.loadLevel = this.chosen;
      this.listener.onRungs(levels.map(toRung), this.chosen);
    });
    hls.on(Events.FRAG_CHANGED, (_, { frag }) => {
      this.fragmentBitRate = (frag.stats.loaded * 8) / frag.duration;
    });
    hls.on(Events.LEVEL_SWITCHED, (_, { level }) => {
      const switched = hls.levels[level];
      this.played = switched ? toRung(switched, level) : null;
      if (switched) this.viewing.switchTo(switched.bitrate);
    });
    hls.on(Events.ERROR, (_, data) => this.onHlsError(data));
    hls.loadSource(url);
    hls.attachMedia(this.video);
  }

  private openNative(url: string, position: number): void {
    const { signal } = this.listeners;
    this.video.onerror = () => this.onNativeError();
    this.video.addEventListener(
      "loadedmetadata",
      () => {
        this.video.currentTime = position;
      },
      { once: true, signal },
    );
    this.video.src = url;
  }

  private onHlsError(data: ErrorData): void {
    if (data.response?.code === HTTP_FORBIDDEN) {
      this.recover(describe(data), () => this.reopen());
    } else if (data.fatal) {
      this.recover(describe(data), this.remedy(data));
    }
  }

  /** As hls.js documents for fatal errors: https://github.com/video-dev/hls.js/blob/master/docs/API.md#fatal-error-recovery */
  private remedy(data: ErrorData): (() => void) | null {
    if (data.type === ErrorTypes.MEDIA_ERROR) return () => this.hls?.recoverMediaError();
    if (data.type !== ErrorTypes.NETWORK_ERROR) return null;
    const manifestMissing =
      data.details === ErrorDetails.MANIFEST_LOAD_ERROR ||
      data.details === ErrorDetails.MANIFEST_LOAD_TIMEOUT;
    return manifestMissing ? () => this.reopen() : () => this.hls?.startLoad();
  }

  private onNativeError(): void {
    const reason = this.video.error?.message || "The browser could not play this title.";
    this.recover(reason, () => this.reopen());
  }

  private recover(reason: string, remedy: (() => void) | null): void {
    if (this.retryTimer !== 0 || this.closed) return;
    if (remedy === null || this.recoveries >= MAX_RECOVERIES) {
      this.hls?.stopLoad();
      this.listener.onFailure(reason);
      return;
    }
    const delayMs = this.recoveries === 0 ? 0 : RETRY_DELAY_MS * 2 ** (this.recoveries - 1);
    this.recoveries += 1;
    this.recoveredAt = this.video.currentTime;
    this.retryTimer = setTimeout(() => {
      this.retryTimer = 0;
      remedy();
    }, delayMs);
  }

  private reopen(): void {
    const position = this.video.currentTime;
    const paused = this.video.paused;
    this.open(position).then(
      () => {
        if (!paused) void this.play();
      },
      (error: Error) => this.listener.onFailure(error.message),
    );
  }

  /** A jump is not progress. */
  private noteSeek(): void {
    this.recoveredAt = this.video.currentTime;
  }

  private noteProgress(): void {
    if (this.video.currentTime > this.recoveredAt + PLAYED_ON_S) this.recoveries = 0;
  }
}

function toRung(level: Level, index: number): Rung {
  return { index, width: level.width, height: level.height, bitRate: level.bitrate };
}

function secondsAhead(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= currentTime + 0.1 && currentTime <= buffered.end(i)) {
      return buffered.end(i) - currentTime;
    }
  }
  return 0;
}

function describe(data: ErrorData): string {
  if (data.type !== ErrorTypes.NETWORK_ERROR) return data.error.message;
  const status = data.response?.code;
  return status
    ? `The server answered ${status} for a part of this title.`
    : "The server cannot be reached.";
}
