// The big half of the page: the selected title, played or explained.
import { ApiError, getPlayback, type Media } from "./api";
import { child, element, setText } from "./dom";
import { Figures } from "./figures";
import { bytes, clock, percent } from "./format";
import { Player } from "./player";
import { Quality } from "./quality";
import { isUnfinished } from "./watcher";

export class Stage {
  private media: Media | null = null;
  private player: Player | null = null;
  private playWhenReady = false;
  private failure: string | null = null;
  private resumeAt = 0;
  private readonly video = element("video", HTMLVideoElement);
  private readonly quality = new Quality((index) => this.player?.chooseRung(index));
  private readonly figures = new Figures();

  constructor() {
    element("panel-retry").addEventListener("click", () => this.retry());
  }

  get mediaId(): string | null {
    return this.media?.id ?? null;
  }

  get isPlaying(): boolean {
    return this.player !== null && !this.video.paused && !this.video.ended;
  }

  show(media: Media, options: { playWhenReady: boolean }): void {
    this.clear();
    this.playWhenReady = options.playWhenReady;
    element("stage").hidden = false;
    this.update(media);
  }

  /** Goes on with the title that is there. */
  play(): void {
    this.playWhenReady = true;
    void this.player?.play();
  }

  update(media: Media): void {
    this.media = media;
    if (media.status === "failed") this.stopPlayer();
    else if (media.playable && !this.player && !this.failure) this.startPlayer(media);
    this.render(media);
  }

  clear(): void {
    this.stopPlayer();
    this.media = null;
    this.failure = null;
    this.resumeAt = 0;
    element("stage").hidden = true;
  }

  private startPlayer(media: Media): void {
    this.video.poster = media.type === "audio" ? (this.video.dataset.audioPoster ?? "") : "";
    const player = new Player(this.video, media.id, () => getPlayback(media.id), {
      onRungs: (rungs, chosen) => this.quality.offer(rungs, chosen, media),
      onFailure: (reason) => this.fail(reason),
    });
    this.player = player;
    this.figures.follow(player, () => this.media ?? media);
    if (this.playWhenReady) player.willPlay();
    player.open(this.resumeAt).then(
      () => {
        if (this.playWhenReady && this.player === player) void player.play();
      },
      (error: Error) => {
        if (this.player !== player) return;
        this.fail(error instanceof ApiError ? `${error.title} ${error.message}` : error.message);
      },
    );
  }

  private stopPlayer(): void {
    this.player?.close();
    this.player = null;
    this.quality.clear();
    this.figures.clear();
  }

  private fail(reason: string): void {
    this.resumeAt = this.video.currentTime;
    this.stopPlayer();
    this.failure = reason;
    if (this.media) this.render(this.media);
  }

  private retry(): void {
    this.failure = null;
    this.playWhenReady = true;
    if (this.media) this.update(this.media);
  }

  private render(media: Media): void {
    const playing = this.player !== null;
    element("stage").dataset.type = media.type;
    this.video.hidden = !playing;
    element("panel").hidden = playing;
    if (!playing) this.renderPanel(media);
    setText(element("title"), media.title);
    setText(element("facts"), facts(media));
    setText(element("description"), media.description);
    setText(element("warnings"), media.warnings.join(" "));
    const encoding = element("encoding");
    encoding.hidden = !playing || !isUnfinished(media);
    child(encoding, "progress", HTMLProgressElement).value = media.progress;
    setText(child(encoding, "span"), `Encoding ${percent(media.progress)}`);
  }

  private renderPanel(media: Media): void {
    const { title, text } = this.explain(media);
    const failed = media.status === "failed" || this.failure !== null;
    const encoding = !failed && media.status === "processing";
    element("panel").dataset.failed = String(failed);
    setText(element("panel-title"), title);
    // Apart from the title and hidden from screen readers: they would read out every step.
    setText(element("panel-percent"), encoding ? percent(media.progress) : "");
    setText(element("panel-text"), text);
    const bar = element("panel-progress", HTMLProgressElement);
    bar.hidden = !encoding;
    bar.value = media.progress;
    element("panel-retry").hidden = this.failure === null;
  }

  private explain(media: Media): { title: string; text: string } {
    if (this.failure !== null) return { title: "Playback stopped", text: this.failure };
    switch (media.status) {
      case "failed":
        return { title: "This file cannot be played", text: failureText(media) };
      case "uploading":
        return { title: "Uploading", text: "The file has not arrived completely." };
      case "queued":
        return { title: "Queued", text: "Encoding begins as soon as a worker is free." };
      default:
        return {
          title: "Encoding",
          text: "Playback begins as soon as the first seconds are encoded.",
        };
    }
  }
}

function failureText(media: Media): string {
  if (!media.error) return "";
  const hint = media.error.retryable ? " Uploading it again may help." : "";
  return `${media.error.message}${hint}`;
}

function facts({ duration_s, source }: Media): string {
  const parts: string[] = [];
  if (duration_s !== null) parts.push(clock(duration_s));
  if (source.width && source.height) parts.push(`${source.width}×${source.height}`);
  if (source.frame_rate) parts.push(`${Number(source.frame_rate.toFixed(2))} fps`);
  const codecs = [source.video_codec, source.audio_codec].filter(Boolean);
  if (codecs.length > 0) parts.push(codecs.join(" + "));
  parts.push(bytes(source.size_bytes));
  return parts.join(" · ");
}
