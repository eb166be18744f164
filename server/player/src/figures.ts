// What the player measures, refreshed while a title is open.
import type { Media } from "./api";
import { element, setText } from "./dom";
import { bitRate, count } from "./format";
import type { Player } from "./player";
import { rungName } from "./quality";

const REFRESH_MS = 500;
const UNKNOWN = "–";

export class Figures {
  private timer = 0;

  follow(player: Player, media: () => Media): void {
    this.clear();
    element("figures").hidden = false;
    const refresh = (): void => show(player, media());
    refresh();
    this.timer = setInterval(refresh, REFRESH_MS);
  }

  clear(): void {
    clearInterval(this.timer);
    element("figures").hidden = true;
  }
}

function show(player: Player, media: Media): void {
  const figures = player.figures();
  const known = (value: number | null): string => (value === null ? UNKNOWN : bitRate(value));
  const dropped = `${count(figures.droppedFrames)} of ${count(figures.totalFrames)}`;
  setText(element("figure-rung"), figures.rung ? rungName(figures.rung, media) : UNKNOWN);
  setText(element("figure-buffer"), `${figures.bufferS.toFixed(1)} s`);
  setText(element("figure-bit-rate"), known(figures.bitRate));
  setText(element("figure-bandwidth"), known(figures.bandwidth));
  setText(element("figure-dropped"), dropped);
}
