// The choice of a rung: Auto, or one of the title's rungs, highest first.
import type { Media } from "./api";
import { child, copyTemplate, element, setText } from "./dom";
import { bitRate } from "./format";
import { AUTO, type Rung } from "./player";

export class Quality {
  private readonly group = element("quality");

  constructor(private readonly onChoice: (index: number) => void) {
    this.clear();
  }

  offer(rungs: Rung[], chosen: number, media: Media): void {
    this.clear();
    if (rungs.length < 2) return;
    this.add(AUTO, "Auto", chosen);
    for (const rung of rungs.toReversed()) this.add(rung.index, rungName(rung, media), chosen);
    this.group.hidden = false;
  }

  clear(): void {
    this.group.hidden = true;
    for (const label of this.group.querySelectorAll("label")) label.remove();
  }

  private add(index: number, name: string, chosen: number): void {
    const label = copyTemplate("rung-template");
    setText(child(label, "span"), name);
    const input = child(label, "input", HTMLInputElement);
    input.value = String(index);
    input.checked = index === chosen;
    input.addEventListener("change", () => this.onChoice(index));
    this.group.append(label);
  }
}

/** The name that the ladder gives the rung; audio rungs are told apart by their bit rate. */
export function rungName(rung: Rung, media: Media): string {
  if (rung.height === 0) return bitRate(rung.bitRate);
  const sameSize = media.renditions.find(
    ({ width, height }) => width === rung.width && height === rung.height,
  );
  return sameSize?.name ?? `${rung.height}p`;
}
